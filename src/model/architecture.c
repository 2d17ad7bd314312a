/* What is known of an architecture, from the list ARCHITECTURES and what each says of itself. Every setting is one
 * that it has or one that it lacks; what it lacks gets the one value that is left, so that no configuration holds
 * what does not apply. Then what is left open follows from the rest, ranges are checked, and last what goes
 * together, the architecture's own rules among it: whoever has a checked configuration may rely on all of that. */
#include "model/model.h"
#include "base/text.h"

#include <pthread.h>

#define POINTER(name, type) &type,
const model_type *const model_types[MODEL_TYPES] = {ARCHITECTURES(POINTER)};
#undef POINTER

enum { MOST_ROWS = 192 };

const model_type *model_type_of(const model_config *c) { return model_types[c->architecture]; }

/* Positions that all run through the layers are described by four times as many numbers. */
int64_t model_most_tokens(const model_config *c) {
    return model_type_of(c)->has_latents ? MOST_TOKENS : MOST_TOKENS / 4;
}

/* ------------------------------------------------------------------ settings */

/* Of each architecture the rows that apply to it, and the rest. */
static field has_rows[MODEL_TYPES][MOST_ROWS], lacks_rows[MODEL_TYPES][MOST_ROWS];
static field_table has[MODEL_TYPES], lacks[MODEL_TYPES];

bool model_type_lists(const model_type *type, const char *key) {
    for (int i = 0; i < MOST_SETTING_LISTS && type->settings[i]; i++)
        if (name_is_one_of(key, type->settings[i])) return true;
    return false;
}

static void make_tables(void) {
    CHECK(model_fields.count <= MOST_ROWS, "%d settings of models", model_fields.count);
    for (int t = 0; t < MODEL_TYPES; t++) {
        has[t].rows = has_rows[t];
        lacks[t].rows = lacks_rows[t];
        for (int i = 0; i < model_fields.count; i++) {
            const field *f = &model_fields.rows[i];
            if (model_type_lists(model_types[t], f->key)) has_rows[t][has[t].count++] = *f;
            else lacks_rows[t][lacks[t].count++] = *f;
        }
    }
}

static void need_tables(void) {
    static pthread_once_t made = PTHREAD_ONCE_INIT;
    pthread_once(&made, make_tables);
}

const field_table *model_settings(const model_config *c) {
    need_tables();
    return &has[c->architecture];
}

/* ------------------------------------------------------------------ what follows, and what cannot be */

/* A decoder whose positions all run through all layers: what distinguishes latents has one value left. */
static void without_latents(model_config *c) {
    c->latents = c->context;
    c->initial_cross = false;
    c->query = QUERY_IDENTITY;
}

static void fill_in(model_config *c) {
    const model_type *type = model_type_of(c);
    need_tables();
    fields_default(&lacks[c->architecture], c);
    if (!type->has_latents) without_latents(c);
    if (!type->remembers) c->memory = 0;
    if (c->memory < 0) c->memory = c->context;
    if (c->self_reach < 0) c->self_reach = c->latents;
    if (!c->input_channels && !type->answers) c->input_channels = c->channels;
    if (!c->cross_heads) c->cross_heads = type->answers ? 1 : c->heads;
    if (c->cross_mlp_ratio == 0) c->cross_mlp_ratio = c->mlp_ratio;
    bool table = c->positions.kind != POSITION_NONE && !type->answers;
    if (table && !c->positions.axes.count) {
        c->positions.axes.count = 1;
        c->positions.axes.v[0] = c->context + (c->positions.origin == ORIGIN_ONE);
    }
    if (c->positions.rotary.base == 0)
        c->positions.rotary.base = (double)(c->context + c->positions.rotary.query_offset);
    if (type->complete) type->complete(c);
}

static int check_widths(const model_config *c, pcv_error *err) {
    if (c->channels % c->heads)
        return fail(err, PCV_CONFIG, "channels is %lld, expected a multiple of the %lld heads",
                    (long long)c->channels, (long long)c->heads);
    if (c->tied_embeddings && c->input_features)
        return fail(err, PCV_CONFIG, "tied_embeddings needs inputs that are ids, but input_features is %lld",
                    (long long)c->input_features);
    if (c->tied_embeddings && c->input_channels != c->channels && !model_type_of(c)->answers)
        return fail(err, PCV_CONFIG, "tied_embeddings needs input_channels (%lld) equal to channels (%lld)",
                    (long long)c->input_channels, (long long)c->channels);
    if (c->vocab_size < 2 && !c->input_features)
        return fail(err, PCV_CONFIG, "vocab_size is %lld, expected at least 2; give --vocab or a data set",
                    (long long)c->vocab_size);
    return 0;
}

static int check_positions(const model_config *c, pcv_error *err) {
    int64_t axes = c->positions.axes.count;
    if (c->positions.kind == POSITION_NONE && axes)
        return fail(err, PCV_CONFIG, "positions.axes needs a positions.kind");
    if (axes > POSITION_AXES)
        return fail(err, PCV_CONFIG, "positions.axes has %lld axes, at most %d", (long long)axes, POSITION_AXES);
    int64_t rows = c->context + (c->positions.origin == ORIGIN_ONE); /* unless the data say where a token lies */
    for (int64_t a = 0; a < axes && c->positions.origin != ORIGIN_DATA; a++)
        if (c->positions.axes.v[a] < rows)
            return fail(err, PCV_CONFIG, "positions.axes has %lld rows on axis %lld, too few for a context of %lld; "
                        "axes of the data, such as columns and rows of pictures, need positions.origin data",
                        (long long)c->positions.axes.v[a], (long long)a, (long long)c->context);
    if (c->positions.origin == ORIGIN_NEGATIVE_END && axes)
        return fail(err, PCV_CONFIG, "positions.origin negative_end has no rows in a position table");
    return 0;
}

static int check_context(const model_config *c, pcv_error *err) {
    if (c->context + c->memory <= model_most_tokens(c)) return 0;
    return fail(err, PCV_CONFIG, "context is %lld, with a memory of %lld; an architecture without latents takes "
                "at most %lld tokens", (long long)c->context, (long long)c->memory, (long long)model_most_tokens(c));
}

/* Weights of more than 2^40 values cannot be meant. */
static int check_size(const model_config *c, pcv_error *err) {
    double z = (double)c->channels, e = (double)c->input_channels;
    double layer = 4 * z * z + 3 * z * (double)model_mlp_width(c->channels, c->mlp_ratio);
    double embeddings = e * (double)(c->vocab_size + c->context);
    if (layer * (double)(c->layers + 2) + embeddings + 4 * e * e < 0x1p40) return 0;
    return fail(err, PCV_CONFIG, "the model would have more than 10^12 parameters; lower channels (%lld), "
                "layers (%lld) or vocab_size (%lld)", (long long)c->channels, (long long)c->layers,
                (long long)c->vocab_size);
}

int model_config_check(model_config *c, pcv_error *err) {
    const model_type *type = model_type_of(c);
    fill_in(c);
    int status = fields_check(&model_fields, c, err);
    if (!status) status = check_widths(c, err);
    if (!status && !type->answers) status = check_positions(c, err);
    if (!status && type->check) status = type->check(c, err);
    if (!status) status = check_context(c, err);
    if (!status) status = check_size(c, err);
    return status;
}
