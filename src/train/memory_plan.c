#include "train/memory_plan.h"
#include "base/available.h"
#include "train/optimizer.h"
#include "train/step.h"

/* What describes a batch on the host is there while a step is planned, too. */
static int check_host(const model_config *config, const train_config *c, pcv_error *err) {
    enum { HOST_BYTES = 1 << 30 }; /* of the most tokens */
    int64_t most = model_most_tokens(config), orders = config->index.orders.count;
    int64_t bytes = HOST_BYTES / most + (orders + 1) * (int64_t)sizeof(int32_t); /* of a token */
    size_t have = memory_available();
    if (c->batch > most / config->context)
        return fail(err, PCV_MEMORY, "--batch (%lld) times --context (%lld): more than %d tokens at once; lower "
                    "--batch, and raise --total-batch for as many in an update", (long long)c->batch,
                    (long long)config->context, (int)most);
    if ((size_t)(c->batch * config->context * bytes) <= have / 2) return 0; /* arenas grow by doubling */
    return fail(err, PCV_MEMORY, "--batch (%lld) times --context (%lld): too many tokens for %.2f GiB of memory; "
                "lower them", (long long)c->batch, (long long)config->context, (double)have / (1 << 30));
}

int plan_memory(const model_config *config, const train_config *c, memory_plan *plan, pcv_error *err) {
    backend *be = NULL;
    model *m = NULL;
    tape t = {0};
    step_rows b = {0};
    loss_sum result = {0};
    int status = 0;
    TRY(check_host(config, c, err));
    TRY(step_backend(&be, c, err));
    *plan = (memory_plan){.available = be->available(be)};
    backend_make_null(be);
    TRY(model_open(&m, config, be, true, err));
    m->recompute = c->recompute;
    TRY(step_open(&b, m, c->batch, err));
    plan->parameters = m->params.total;
    plan->gradients = matrix_bytes(&m->params.grads);
    plan->weights = matrix_bytes(&m->params.values) + matrix_bytes(&m->params.rounded);
    plan->optimizer = optimizer_bytes(&m->params, c);
    plan->constants = be->bytes_now - plan->weights - plan->gradients;
    TRY(tape_init_plan(&t, be, err));
    step_take_full(&b, c->batch);
    TRY(step_run(&b, &t, m, c, 0, 1, &result, err));
    plan->tensors = t.pool.high;
    plan->host = be->on_host ? arena_bytes(&t.host) : 0;
    plan->total = plan->weights + plan->gradients + plan->optimizer + plan->constants + plan->tensors;
out:
    step_close(&b);
    tape_free(&t);
    model_close(m);
    if (be) be->close(be);
    return status;
}

int plan_available(const train_config *c, size_t *bytes, pcv_error *err) {
    backend *be = NULL;
    int status = step_backend(&be, c, err);
    if (status) return status;
    *bytes = be->available(be);
    be->close(be);
    return 0;
}

int plan_check(const memory_plan *plan, const model_config *m, const train_config *c, pcv_error *err) {
    const double gib = 1 << 30;
    if (plan->total + plan->host <= plan->available) return 0;
    return fail(err, PCV_MEMORY,
                "training needs %.2f GiB (weights, gradients and moments %.2f, activations %.2f), but %.2f "
                "are available; lower --batch (%lld), --context (%lld), --latents (%lld) or --channels "
                "(%lld)%s", (double)plan->total / gib, (double)(plan->total - plan->tensors) / gib,
                (double)plan->tensors / gib, (double)plan->available / gib, (long long)c->batch,
                (long long)m->context, (long long)m->latents, (long long)m->channels,
                c->recompute < 2 ? ", or use --recompute all" : "");
}
