/* What an architecture says of itself before there is a model: what it can, which settings it has, what it costs.
 * Each is a model_type (model/model.h) in a file of this folder, and a row of ARCHITECTURES: whoever needs to know one
 * of these asks here, and never which architecture it is.
 *
 *     TRY(model_config_check(&config, err));
 *     if (model_type_of(&config)->remembers) ...
 *     double flops = model_type_of(&config)->flops(&config, config.context, config.latents).self; */
#ifndef MODEL_ARCHITECTURE_H
#define MODEL_ARCHITECTURE_H

#include "config/settings.h"

typedef struct model_type model_type;

/* A forward pass of one sequence, in FLOPs (2 per multiply-add), as counted in the literature: masked scores are
 * counted too. */
typedef struct model_flops {
    double cross, index, self, head;
} model_flops;

static inline double flops_sum(model_flops f) { return f.cross + f.index + f.self + f.head; }

/* Parameters by the part of the model that their names begin with. */
typedef struct model_part {
    const char *prefix, *name;
} model_part;

#define COUNT_ONE(name, type) +1
enum { MODEL_TYPES = ARCHITECTURES(COUNT_ONE) };
#undef COUNT_ONE
extern const model_type *const model_types[MODEL_TYPES]; /* by config.architecture */
const model_type *model_type_of(const model_config *c);

/* Gives what does not apply to the architecture its default, fills in what follows from other members (cross_heads,
 * ...), and refuses what cannot be built: PCV_CONFIG names the member, what it is and what it must be. */
int model_config_check(model_config *c, pcv_error *err);

int64_t model_most_tokens(const model_config *c); /* that the host describes at once, in all rows of a batch */

/* The rows of model_fields that apply to the architecture. */
const field_table *model_settings(const model_config *c);
bool model_type_lists(const model_type *type, const char *key); /* among its settings */

#endif
