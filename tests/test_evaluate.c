/* What an evaluation tells beside its mean: words and bytes, hits, buckets of positions and their standard errors, and
 * the targets that a sample of a split takes; against counts by hand and sums over scores. */
#include "device.h"
#include "config/settings.h"
#include "data/window.h"
#include "eval/evaluate.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ------------------------------------------------------------------ documents in memory */

enum { CONTEXT = 24, LATENTS = 10, MOST = 2048, DOCUMENTS_MOST = 40 };

typedef struct shelf {
    int64_t documents;
    char text[DOCUMENTS_MOST][MOST]; /* of which the start token stands in front */
} shelf;

static int64_t documents(const dataset *d, split_name split) { return (void)split, ((const shelf *)d->state)->documents; }

static int64_t length(const dataset *d, split_name split, int64_t i) {
    return (void)split, 1 + (int64_t)strlen(((const shelf *)d->state)->text[i]);
}

static int read_text(const dataset *d, split_name split, int64_t document, int64_t from, int64_t count, int32_t *ids,
                     pcv_error *err) {
    const char *text = ((const shelf *)d->state)->text[document];
    (void)split, (void)err;
    for (int64_t i = from; i < from + count; i++)
        ids[i - from] = i ? d->tokens.first + (unsigned char)text[i - 1] : d->tokens.start;
    return 0;
}

typedef struct bench {
    dataset d;
    pcv_engine e;
    tape t;
} bench;

static void open_bench(bench *b, shelf *s) {
    static const dataset_type in_memory = {documents, length, read_text, NULL, NULL, NULL, NULL};
    model_config c;
    *b = (bench){.d = {.type = &in_memory, .name = "memory", .first_target = 1, .state = s}, .e = {.run = "memory"}};
    must(tokenizer_open(&b->d.tokens, "bytes", NULL, &err));
    b->e.tokens = b->d.tokens;
    must(settings_model(NULL, &c, &err));
    must(settings_apply_list("channels=16 heads=2 layers=1 zero_head=false", &model_fields, "", &c, &err));
    c.context = CONTEXT;
    c.latents = LATENTS;
    c.positions.middle = 0;
    c.vocab_size = b->d.tokens.vocab;
    b->e.be = test_backend(&(backend_options){.threads = 1});
    must(model_open(&b->e.m, &c, b->e.be, false, &err));
    must(model_init(b->e.m, 3, &err));
    must(tape_init(&b->t, b->e.be, 0, &err));
}

static void close_bench(bench *b) {
    tape_free(&b->t);
    model_close(b->e.m);
    b->e.be->close(b->e.be);
    tokenizer_close(&b->d.tokens);
}

static pcv_evaluation evaluated(bench *b, eval_config *c) {
    pcv_evaluation e;
    must(evaluate_defaults(c, &b->e.m->config, &err));
    must(evaluate(&(evaluation_job){.t = &b->t, .m = b->e.m, .d = &b->d, .config = c}, &e, &err));
    return e;
}

/* ------------------------------------------------------------------ sums over scores */

typedef struct sums {
    double loss, squares; /* squares: of what window sums differ from their targets' share of the mean, filled last */
    int64_t targets;
    int windows;
    double sum[MOST];
    int64_t count[MOST];
} sums;

static void add_window(sums *s, double loss, int64_t targets) {
    if (!targets) return;
    s->loss += loss;
    s->targets += targets;
    s->sum[s->windows] = loss;
    s->count[s->windows++] = targets;
}

static double error_of(const sums *s) {
    double squares = 0;
    for (int i = 0; i < s->windows; i++)
        squares += pow(s->sum[i] - (double)s->count[i] * s->loss / (double)s->targets, 2);
    return s->windows < 2 ? NAN : sqrt(squares) / (double)s->targets;
}

static void same_number(double found, double expected, double tolerance, const char *what) {
    if (isnan(expected) && isnan(found)) return;
    close_to(found, expected, tolerance, what);
}

static int largest(const float *logits, int64_t vocabulary) {
    int best = 0;
    for (int v = 1; v < vocabulary; v++)
        if (logits[v] > logits[best]) best = v;
    return best;
}

static void buckets_of_positions(void **state) {
    (void)state;
    enum { BUCKETS = 3 };
    static shelf s = {.documents = 3};
    static sums bucket[BUCKETS];
    static const int sizes[] = {1500, 700, 40};
    bench b;
    eval_config c;
    pcv_settings *settings;
    int64_t hits = 0, targets = 0;
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < sizes[k]; i++) s.text[k][i] = (char)('a' + i * (k + 3) * (i % 11) % 26);
    open_bench(&b, &s);
    must(settings_eval(NULL, &c, &err));
    c.batch = 4;
    c.stride = 7;
    pcv_evaluation e = evaluated(&b, &c);
    must(pcv_settings_open(&settings, &err));
    must(pcv_settings_set(settings, "stride", "7", &err));
    for (int k = 0; k < 3; k++) {
        pcv_scores scores;
        int32_t ids[MOST];
        must(read_text(&b.d, SPLIT_TEST, k, 0, sizes[k] + 1, ids, NULL));
        must(pcv_score(&b.e, ids, (size_t)sizes[k] + 1, true, settings, &scores, &err));
        for (int64_t done = 0; done < sizes[k];) {
            window w = block_at(1, sizes[k], done, c.context, c.stride);
            double part[BUCKETS] = {0};
            int64_t count[BUCKETS] = {0};
            for (int64_t i = done; i < done + w.scored; i++) {
                int64_t index = i + 1; /* of the target, behind the start token */
                int at = index < 512 ? 0 : index < 1024 ? 1 : 2;
                part[at] -= scores.logprob[i];
                count[at]++;
                hits += largest(scores.logits + i * scores.vocabulary, scores.vocabulary) == scores.ids[i];
            }
            for (int at = 0; at < BUCKETS; at++) add_window(&bucket[at], part[at], count[at]);
            done += w.scored;
        }
        targets += sizes[k];
        pcv_scores_free(&scores);
    }
    assert_true(e.documents == 3 && e.tokens == targets && e.positions == BUCKETS);
    close_to(e.accuracy, (double)hits / (double)targets, 1e-12, "accuracy");
    for (int at = 0; at < BUCKETS; at++) {
        assert_int_equal(e.position[at].from, at ? 256 << at : 0);
        assert_int_equal(e.position[at].to, 512 << at);
        assert_int_equal(e.position[at].tokens, bucket[at].targets);
        close_to(e.position[at].loss, bucket[at].loss / (double)bucket[at].targets, 1e-5, "loss of a bucket");
        same_number(e.position[at].standard_error, error_of(&bucket[at]), 1e-6, "standard error of a bucket");
    }
    pcv_settings_close(settings);
    close_bench(&b);
}

/* ------------------------------------------------------------------ words */

static void words_and_bytes(void **state) {
    (void)state;
    static const struct {
        const char *text[2];
        int64_t words;
    } cases[] = {
        {{"the quick brown fox", "jumps over"}, 6},
        {{" the  quick\nbrown\tfox ", "jumps"}, 5},
        {{"a", "b c"}, 3},
        {{"word", "nospaceatallinthistextwhichislong"}, 0}, /* more than 16 bytes a word */
        {{"abcdefghijklmnop", "abcdefghijklmno"}, 2},       /* 31 of 32 */
        {{"abcdefghijklmnop", "abcdefghijklmnopq"}, 0},     /* 33 */
        {{"year 1984 was", "a hot dry summer in all of it"}, 11}, /* 4 of 42 */
        {{"1984 and 1985", "no"}, 0},                       /* more than a tenth are digits */
        {{"if (x) {", "y = z; }"}, 0},                      /* more than a tenth is neither letter, digit nor space */
        {{"caf\xC3\xA9 na\xC3\xAFve", "a"}, 3},             /* bytes of other letters are letters */
        {{"nine let ,", "ten letter"}, 5},                  /* 1 of 20 */
    };
    for (size_t k = 0; k < COUNT(cases); k++) {
        static shelf s;
        bench b;
        eval_config c;
        s = (shelf){.documents = 2};
        for (int i = 0; i < 2; i++) snprintf(s.text[i], MOST, "%s", cases[k].text[i]);
        int64_t bytes = (int64_t)(strlen(s.text[0]) + strlen(s.text[1]));
        open_bench(&b, &s);
        must(settings_eval(NULL, &c, &err));
        pcv_evaluation e = evaluated(&b, &c);
        double nats = e.loss * (double)e.tokens;
        if (e.bytes != bytes || e.words != cases[k].words)
            test_failed("case %zu: %lld bytes, %lld words\n", k, (long long)e.bytes, (long long)e.words);
        close_to(e.bits_per_byte, nats / log(2) / (double)bytes, 1e-9, "bits per byte");
        close_to(e.word_perplexity, e.words ? exp(nats / (double)e.words) : 0, 1e-6 * (1 + e.word_perplexity), "of words");
        same_number(e.standard_error_bits, e.standard_error / log(2), 1e-9, "standard error in bits"); /* a byte a token */
        close_bench(&b);
    }
}

/* ------------------------------------------------------------------ samples */

/* So many targets as were asked for, no more, from all over the split. */
static void samples_are_spread(void **state) {
    (void)state;
    static shelf s = {.documents = DOCUMENTS_MOST};
    static const int64_t wanted[] = {1, 5, 7, 100, 200, 250, 399, 400, 1000};
    static const int64_t touched[] = {1, 1, 2, 20, 40, 40, 40, 40, 40}; /* documents, at the least */
    bench b;
    eval_config c;
    for (int k = 0; k < DOCUMENTS_MOST; k++) snprintf(s.text[k], MOST, "%010d", k * 7919);
    open_bench(&b, &s);
    for (size_t k = 0; k < COUNT(wanted); k++) {
        must(settings_eval(NULL, &c, &err));
        c.stride = 5;
        c.tokens = wanted[k];
        pcv_evaluation e = evaluated(&b, &c);
        int64_t all = wanted[k] < 400 ? wanted[k] : 400;
        if (e.tokens != all || e.documents < touched[k])
            test_failed("of %lld targets %lld, in %lld documents\n", (long long)wanted[k], (long long)e.tokens,
                        (long long)e.documents);
    }
    /* a tenth of the windows, one of ten each time: the middle one, as half of it is due there */
    must(settings_eval(NULL, &c, &err));
    c.stride = 5;
    c.tokens = 40;
    pcv_evaluation tenth = evaluated(&b, &c);
    sums expected = {0};
    pcv_settings *settings;
    must(pcv_settings_open(&settings, &err));
    must(pcv_settings_set(settings, "stride", "5", &err));
    for (int k = 0; k < DOCUMENTS_MOST; k += 5) { /* two windows a document */
        pcv_scores scores;
        int32_t ids[16];
        double loss = 0;
        must(read_text(&b.d, SPLIT_TEST, k + 2, 0, 11, ids, NULL));
        must(pcv_score(&b.e, ids, 11, false, settings, &scores, &err));
        for (int i = 0; i < 5; i++) loss -= scores.logprob[i];
        add_window(&expected, loss, 5);
        pcv_scores_free(&scores);
    }
    close_to(tenth.loss, expected.loss / 40, 1e-5, "loss of a tenth");
    close_to(tenth.standard_error, error_of(&expected), 1e-6, "its standard error");
    pcv_settings_close(settings);
    close_bench(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(buckets_of_positions), cmocka_unit_test(words_and_bytes),
                                       cmocka_unit_test(samples_are_spread)};
    return run_on_device(tests, NULL, NULL);
}
