#include "eval/predict.h"
#include "base/mem.h"
#include "base/safetensors.h"
#include "base/text.h"
#include "config/settings.h"
#include "data/example.h"
#include "eval/evaluate.h"

#include <math.h>
#include <string.h>

enum { TEXT_LIMIT = 1 << 26 };

/* ------------------------------------------------------------------ what is read */

/* Tokens of a text in which each `hidden` stands for a token that is to be found. */
static int text_ids(const tokenizer *t, const char *path, const char *hidden, id_list *ids, pcv_error *err) {
    size_t size = hidden ? strlen(hidden) : 0;
    file_bytes bytes = {0};
    int32_t *list = NULL;
    int status = 0;
    TRY(file_read(path, TEXT_LIMIT, &bytes, err));
    TRY(mem_get(&list, tokenizer_most(bytes.size) * sizeof *list, "a text", err));
    const char *at = bytes.data, *end = at + bytes.size;
    TRY(id_list_add(ids, &t->start, 1, err));
    while (at < end) {
        const char *found = size ? memmem(at, (size_t)(end - at), hidden, size) : NULL;
        size_t count = t->type->encode(t, at, (size_t)((found ? found : end) - at), list);
        TRY(id_list_add(ids, list, count, err));
        if (found) TRY(id_list_add(ids, &t->mask, 1, err));
        at = found ? found + size : end;
    }
out:
    file_bytes_free(&bytes);
    mem_free(list);
    return status;
}

int predict_read(const pcv_engine *e, const pcv_predict_options *o, example_rows *rows, id_list *ids,
                 pcv_error *err) {
    const tokenizer *t = &e->tokens;
    float *values = NULL;
    int status = 0;
    if (!t->type->values) {
        int64_t context = e->m->config.context;
        TRY(text_ids(t, o->path, o->hidden, ids, err));
        if ((int64_t)ids->count > context && !e->m->config.outputs) {
            status = fail(err, PCV_DATA, "%s: %zu tokens, but the model reads %lld", o->path, ids->count - 1,
                          (long long)context - 1);
            goto out;
        }
        example_rows_add_ids(rows, ids->v, (int64_t)ids->count);
        return 0;
    }
    TRY(tokenizer_read(t, o->path, ids, err));
    TRY(mem_get(&values, ids->count * sizeof *values, "values", err));
    t->type->values(t, ids->v, ids->count, values);
    TRY(example_rows_add(rows, t, values, (int64_t)ids->count, err));
out:
    mem_free(values);
    return status;
}

/* ------------------------------------------------------------------ what is said */

int predict_classes(const pcv_engine *e, const float *logits, pcv_prediction *p, pcv_error *err) {
    double top = -INFINITY, sum = 0;
    int status = mem_get(&p->probability, (size_t)e->classes * sizeof *p->probability, "probabilities", err);
    if (status) return status;
    p->classes = e->classes;
    p->class_name = (const char *const *)e->class_name;
    for (int64_t k = 0; k < e->classes; k++) top = fmax(top, (double)logits[k]);
    for (int64_t k = 0; k < e->classes; k++) sum += exp((double)logits[k] - top);
    for (int64_t k = 0; k < e->classes; k++) p->probability[k] = (float)(exp((double)logits[k] - top) / sum);
    return isfinite(sum) ? 0 : engine_not_finite(e, err);
}

/* The text with the likeliest token in each hidden place. */
static int take_text(const pcv_engine *e, const id_list *ids, const float *logits, pcv_prediction *p, pcv_error *err) {
    const tokenizer *t = &e->tokens;
    const int64_t V = e->m->config.vocab_size;
    text out = {0};
    for (size_t i = 1; i < ids->count; i++) {
        int32_t id = ids->v[i];
        const float *row = logits + (int64_t)i * V;
        if (id == t->mask) {
            id = t->first;
            for (int32_t v = t->first; v < t->vocab; v++)
                if (row[v] > row[id]) id = v;
            p->filled++;
        }
        size_t size;
        const char *piece = t->type->piece(t, id, &size);
        text_bytes(&out, piece, size);
    }
    text_bytes(&out, "", 1);
    if (!text_ok(&out)) {
        text_free(&out);
        return fail(err, PCV_MEMORY, "not enough memory for a text");
    }
    p->text = out.data;
    p->size = out.size - 1;
    return 0;
}

static int run(pcv_engine *e, const pcv_predict_options *o, const eval_config *c, const example_rows *rows,
               const id_list *ids, pcv_prediction *out, pcv_error *err) {
    tape t = {0};
    float *logits = NULL;
    int status = 0;
    TRY(tape_init(&t, e->be, 0, err));
    tape_begin(&t);
    pass p = pass_over(e->m, rows->row, 1, c->latents);
    p.only_latents = o->latents;
    tensor *y = model_hidden(&t, e->m, &p);
    if (!o->latents) y = model_logits(&t, e->m, y);
    status = t.status ? 0 : mem_get(&logits, (size_t)(y->m.rows * y->m.cols) * sizeof *logits, "answers", err);
    int64_t numbers = status ? 0 : y->m.rows * y->m.cols;
    if (logits) tape_read(&t, y, logits);
    if (o->latents) out->rows = y->m.rows, out->channels = y->m.cols;
    int ended = tape_end(&t, "to answer", err);
    if (!status) status = ended;
    for (int64_t i = 0; i < numbers && !status; i++)
        if (!isfinite(logits[i])) status = engine_not_finite(e, err);
    if (status) goto out;
    if (o->latents) {
        out->latents = logits;
        logits = NULL;
    } else if (e->classes) TRY(predict_classes(e, logits, out, err));
    else TRY(take_text(e, ids, logits, out, err));
out:
    mem_free(logits);
    tape_free(&t);
    return status;
}

int predict_file(pcv_engine *e, const pcv_predict_options *o, const pcv_settings *settings, pcv_prediction *p,
                 pcv_error *err) {
    example_rows rows = {0};
    id_list ids = {0};
    eval_config c;
    int status = 0;
    *p = (pcv_prediction){.path = o->path};
    if (!e->m->type->answers)
        return fail(err, PCV_USAGE, "%s: a %s goes on with what it reads; 'perceiver generate' and 'perceiver score' "
                    "ask it", e->run, e->m->type->name);
    if (o->hidden && (e->tokens.type->values || e->classes))
        return fail(err, PCV_USAGE, "--hidden: this model does not fill in text");
    TRY(settings_eval(settings, &c, err));
    TRY(evaluate_defaults(&c, &e->m->config, err));
    if (e->tokens.answers) return predict_flow(e, o, &c, p, err);
    if (o->second) return fail(err, PCV_USAGE, "%s: this run reads one file at a time, no frames", e->run);
    TRY(example_rows_open(&rows, e->m, 1, c.context, false, err));
    TRY(predict_read(e, o, &rows, &ids, err));
    if (rows.films.part && !o->latents) TRY(predict_film(e, &c, &rows, p, err));
    else TRY(run(e, o, &c, &rows, &ids, p, err));
out:
    if (status) prediction_free(p);
    example_rows_close(&rows);
    id_list_free(&ids);
    return status;
}

void prediction_free(pcv_prediction *p) {
    mem_free(p->probability);
    mem_free(p->latents);
    mem_free(p->motion);
    mem_free(p->film);
    mem_free(p->sound);
    mem_free(p->text);
    *p = (pcv_prediction){0};
}

/* A line for each latent: the file, its number, and its channels. */
static int save_table(const pcv_prediction *list, int count, const char *path, pcv_error *err) {
    text out = {0};
    text_add(&out, "file,latent");
    for (int64_t k = 0; k < list[0].channels; k++) text_add(&out, ",%lld", (long long)k);
    for (int i = 0; i < count; i++)
        for (int64_t n = 0; n < list[i].rows; n++) {
            text_add(&out, "\n");
            text_csv(&out, list[i].path);
            text_add(&out, ",%lld", (long long)n);
            for (int64_t k = 0; k < list[i].channels; k++)
                text_add(&out, ",%.9g", (double)list[i].latents[n * list[i].channels + k]);
        }
    text_add(&out, "\n");
    int status = text_ok(&out) ? file_write(path, out.data, out.size, err)
                               : fail(err, PCV_MEMORY, "not enough memory for %s", path);
    text_free(&out);
    return status;
}

int predictions_save(const pcv_prediction *list, int count, const char *path, pcv_error *err) {
    static const char *const formats[] = {".safetensors", ".csv", NULL};
    safetensors_plan *plan = NULL;
    int which = 0, status = path_format(path, formats, &which, err);
    if (status || which == 1) return status ? status : save_table(list, count, path, err);
    status = mem_get(&plan, (size_t)count * sizeof *plan, "tensors", err);
    for (int i = 0; i < count && !status; i++)
        plan[i] = (safetensors_plan){.name = list[i].path, .type = "F32", .rank = 2,
                                     .shape = {list[i].rows, list[i].channels}, .data = list[i].latents};
    if (!status) status = safetensors_save(&(safetensors_writer){.plans = plan, .count = count}, path, NULL, NULL, err);
    mem_free(plan);
    return status;
}
