/* Evaluating a loaded run: the public interface of eval/. */
#include "base/mem.h"
#include "eval/attended.h"
#include "eval/attention.h"
#include "eval/confusion.h"
#include "eval/evaluate.h"
#include "eval/predict.h"
#include "eval/score.h"
#include "eval/sweep.h"
#include "token/excerpt.h"

int pcv_evaluate(pcv_engine *engine, const char *data, const pcv_settings *settings, const pcv_watch *watch,
                 pcv_evaluation *result, pcv_error *err) {
    return evaluate_split(engine, data, settings, watch, result, err);
}

/* ------------------------------------------------------------------ answers */

int pcv_predict(pcv_engine *engine, const pcv_predict_options *options, const pcv_settings *settings,
                pcv_prediction *prediction, pcv_error *err) {
    return predict_file(engine, options, settings, prediction, err);
}

void pcv_prediction_free(pcv_prediction *prediction) { prediction_free(prediction); }

int pcv_motion_check(const char *path, pcv_error *err) { return motion_check(path, err); }

int pcv_motion_save(const pcv_prediction *prediction, const char *path, pcv_error *err) {
    return motion_write(prediction, path, err);
}

int pcv_film_save(const pcv_prediction *prediction, const char *folder, pcv_error *err) {
    return film_write(prediction, folder, err);
}

int pcv_predictions_save(const pcv_prediction *list, int count, const char *path, pcv_error *err) {
    return predictions_save(list, count, path, err);
}

int pcv_confusion(pcv_engine *engine, const char *data, const pcv_settings *settings, const pcv_watch *watch,
                  pcv_evaluation *result, int64_t **counts, const char *const **names, pcv_error *err) {
    return evaluate_confusion(engine, data, settings, watch, result, counts, names, err);
}

int pcv_confusion_check(const char *path, pcv_error *err) { return confusion_check(path, err); }

int pcv_confusion_write(const char *path, const int64_t *counts, const char *const *names, int64_t classes,
                        pcv_error *err) {
    return confusion_write(path, counts, names, classes, err);
}

void pcv_counts_free(int64_t *counts) { mem_free(counts); }

/* ------------------------------------------------------------------ sweeps */

int pcv_sweep(pcv_engine *engine, const char *data, const char *kind, const int64_t *values, int count,
              const pcv_settings *settings, const pcv_watch *watch, pcv_sweep_point *point, int *points,
              pcv_error *err) {
    return sweep_run(engine, data, kind, values, count, settings, watch, point, points, err);
}

int pcv_sweep_check(const char *path, pcv_error *err) { return sweep_check(path, err); }

int pcv_sweep_draw(const char *path, const char *kind, const pcv_sweep_point *point, int points, pcv_error *err) {
    return sweep_draw(path, kind, point, points, err);
}

/* ------------------------------------------------------------------ scores */

int pcv_score(pcv_engine *engine, const int32_t *ids, size_t count, bool logits, const pcv_settings *settings,
              pcv_scores *scores, pcv_error *err) {
    return score_ids(engine, ids, count, logits, settings, scores, err);
}

int pcv_score_file(pcv_engine *engine, const char *path, bool are_ids, bool logits, const pcv_settings *settings,
                   pcv_scores *scores, pcv_error *err) {
    return score_file(engine, path, are_ids, logits, settings, scores, err);
}

int pcv_score_stream(pcv_engine *engine, const pcv_score_options *options, const pcv_settings *settings,
                     const pcv_watch *watch, pcv_error *err) {
    return score_stream(engine, options, settings, watch, err);
}

int pcv_scores_save(const pcv_scores *scores, const char *path, pcv_error *err) {
    return scores_save(scores, path, err);
}

void pcv_scores_free(pcv_scores *scores) { scores_free(scores); }

/* ------------------------------------------------------------------ attention */

int pcv_attend(pcv_engine *engine, const char *path, bool are_ids, int64_t size, const pcv_settings *settings,
               const pcv_watch *watch, pcv_attention *map, pcv_error *err) {
    return attention_look(engine, path, are_ids, size, settings, watch, map, err);
}

int pcv_attention_check(const char *path, pcv_error *err) { return attention_check(path, err); }

int pcv_attention_draw(const char *path, const pcv_attention *map, pcv_error *err) {
    return attention_draw(path, map, err);
}

void pcv_attention_free(pcv_attention *map) { attention_free(map); }

int pcv_attend_token(pcv_engine *engine, const char *path, bool are_ids, int64_t token, int64_t top,
                     const pcv_settings *settings, const pcv_watch *watch, pcv_attended *attended, pcv_error *err) {
    return attended_tell(engine, &(attended_question){path, are_ids, token, top}, settings, watch, attended, err);
}

void pcv_attended_free(pcv_attended *attended) { attended_free(attended); }

void pcv_excerpt(const pcv_engine *engine, const int32_t *ids, int64_t count, int64_t at, int columns, char *line) {
    excerpt(&engine->tokens, ids, count, at, columns, line);
}
