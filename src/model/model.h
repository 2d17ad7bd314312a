/* Models behind one interface: an architecture declares parameters and runs a pass (pass.h) over a tape; the same
 * function trains, evaluates and generates.
 *
 *     model *m;
 *     TRY(model_open(&m, &config, be, true, err));
 *     tensor *hidden = model_hidden(&t, m, &p);                  // [B U, Z]
 *     tensor *logits = model_logits(&t, m, hidden);              // [B U, V] */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "base/file.h"
#include "model/architecture.h"
#include "model/pass.h"
#include "nn/block.h"

enum { MOST_SETTING_LISTS = 6 };

/* Where the tokens of a document lie, for data with axes of positions. NULL: positions are the tokens' numbers, and a
 * window into a document begins at 0. */
typedef struct position_map {
    void (*at)(const void *context, int64_t index, int32_t *axes); /* token `index`; 0: the document's start */
    int64_t (*place)(const void *context, int64_t index); /* the least index from which on positions are the same */
    const void *context;
} position_map;

typedef struct model {
    const model_type *type;
    model_config config;
    backend *be;
    parameters params;
    void *body; /* the architecture's own handles */
    dtype cache_type; /* of keys and values in caches: reals, BF16 or I8 */
    position_map positions; /* of the data; set behind model_open */
    int recompute; /* as train_config.recompute: 0 none, 1 cross-attention, 2 all blocks */
} model;

struct model_type {
    const char *name;
    bool has_latents; /* the last positions become latents, and predict; else every input runs through the layers */
    bool remembers;   /* segments follow each other, and layers see those before by way of a model_memory */
    bool relative;    /* layers measure distances: there are no other positions, whatever the data says */
    bool gathers;     /* keys and values from the caches, which are reals then */
    bool answers;     /* inputs are no sequence that goes on: its outputs answer, and order is what positions say */
    /* Lists, NULL-terminated, of the keys of model_fields that it has, and with "evaluation." or "sampling." in front
     * of those groups' keys that others lack. */
    const char *const *settings[MOST_SETTING_LISTS];
    const model_part *parts; /* ends with a NULL prefix */
    void (*complete)(model_config *c); /* fills in what follows from other members, beyond what all have; or NULL */
    int (*check)(const model_config *c, pcv_error *err); /* what it cannot be, beyond model_config_check's; or NULL */
    model_flops (*flops)(const model_config *c, int64_t inputs, int64_t latents);
    int (*open)(model *m, pcv_error *err); /* declares parameters, fills body */
    int (*constants)(model *m, pcv_error *err); /* after the backend's memory is there */
    int (*begin)(model *m, pcv_error *err); /* changes initial weights; or NULL */
    void (*close)(model *m);
    tensor *(*hidden)(tape *t, model *m, pass *p);
    linear_weights (*head)(const model *m);
    linear_weights (*part_head)(const model *m, int kind); /* behind `head`, of one kind of outputs; or NULL */
};

#define DECLARE(name, type) extern const model_type type;
ARCHITECTURES(DECLARE)
#undef DECLARE

/* Allocates the weights, zero; model_init or weights_load fill them. */
int model_open(model **m, const model_config *config, backend *be, bool grads, pcv_error *err);
void model_close(model *m);
int model_init(model *m, uint64_t seed, pcv_error *err);

/* For a loaded model that only generates: how its linear maps' weights and its caches are held from now on. */
int model_pack(model *m, packing weights, packing cache, pcv_error *err);

/* The position of token `from` of a document, where a window of `inputs` tokens begins with it; `document`: how many
 * tokens the document has, 0: as many as those that the model was trained on. Windows count from 0, unless the data has
 * axes of positions, or documents of known length stand in the middle of the context (positions.middle), so that the
 * mirror points of copies of all lengths share one position: such a window keeps the document's own numbers as long as
 * the context holds them. Training, evaluation, scores, maps and generation all ask here. */
int64_t model_place(const model *m, int64_t from, int64_t inputs, int64_t document);

/* A pass over rows; no more of their positions are latents than the longest has inputs. */
pass pass_over(const model *m, const sequence *rows, int64_t batch, int64_t latents);

/* Runs the pass: last hidden states of the predicting positions, rows in order, [batch U, Z]; or their means, [batch,
 * Z]. Positions that a short row lacks stand in front and hold nothing of use. The pass need not live on. */
tensor *model_hidden(tape *t, model *m, pass *p);
tensor *model_logits(tape *t, model *m, tensor *hidden); /* [rows, V] */

/* Of a model with several kinds of outputs those of one kind: [batch outputs, modality_config.outputs]. */
tensor *model_part_outputs(tape *t, model *m, tensor *hidden, const pass *p, int kind);

/* The loss of every output, [rows, LOSS_COLUMNS]; tape_backward takes the scaled sum from here. The rows of the pass
 * must have targets. */
tensor *model_loss(tape *t, model *m, tensor *hidden, const pass *p, const loss_spec *spec);

/* Asks for a loss, [rows, LOSS_COLUMNS], which is there behind backend_finish; NULL when memory ran out. */
const float *loss_fetch(tape *t, const tensor *loss);

/* Adds the targets that count to *sum. */
void loss_add(const float *rows, const pass *p, loss_sum *sum);

/* Both; *each, where it is wanted, are the rows. */
void loss_read(tape *t, const tensor *loss, const pass *p, loss_sum *sum, const float **each);

/* ---- segment recurrence
 * The inputs of every layer at the last tokens of each row's earlier segments (Dai et al. 2019, section 3.2). A pass
 * reads one state and writes the other, which counts from the next pass on: until then the walk back may read the
 * first one again. */
struct model_memory {
    int64_t batch, rows, layers;
    int64_t *count[2]; /* [batch] last rows of a state that hold something */
    matrix *state[2];  /* [layers] of [batch rows, Z] */
    int current;
    bool pending; /* the other state is newer */
};

/* NULL in *memory where the architecture has none. */
int model_memory_open(model_memory **memory, const model *m, int64_t batch, pcv_error *err);
void model_memory_close(model_memory *memory, const model *m);
void model_memory_forget(model_memory *memory, int64_t row); /* before the next pass */
int model_memory_save(const model_memory *memory, const model *m, const char *path, char hash[HASH_TEXT],
                      uint64_t *size, pcv_error *err);
int model_memory_load(model_memory *memory, const model *m, const char *path, pcv_error *err);

#endif
