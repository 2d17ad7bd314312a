#include "token/token.h"
#include "base/fields.h"
#include "base/text.h"

#include <string.h>

const token_type *const token_types[] = {&token_bytes, &token_bytes_262, NULL};

int tokenizer_open(tokenizer *t, const char *name, pcv_error *err) {
    const char *names[16];
    int count = 0;
    for (; token_types[count]; count++) {
        names[count] = token_types[count]->name;
        if (strcmp(name, names[count])) continue;
        *t = (tokenizer){.type = token_types[count]};
        return t->type->open(t, err);
    }
    const char *near = nearest_name(name, names, count);
    return fail(err, PCV_CONFIG, "tokenizer '%.80s': there is no such tokenizer%s%s%s", name,
                near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

int tokenizer_save(const tokenizer *t, const char *path, pcv_error *err) {
    json_t *json = json_pack("{s:s, s:I}", "kind", t->type->name, "vocab_size", (json_int_t)t->vocab);
    if (!json) return fail(err, PCV_MEMORY, "not enough memory to write %s", path);
    int status = json_write(json, path, err);
    json_decref(json);
    return status;
}

int tokenizer_load(tokenizer *t, const char *path, pcv_error *err) {
    json_t *json = NULL;
    const char *kind;
    int status = 0;
    TRY(json_read(&json, path, 1 << 20, err));
    TRY(json_get_string(json, "kind", &kind, path, err));
    if (tokenizer_open(t, kind, NULL))
        status = fail(err, PCV_DATA, "%s: 'kind' is '%.80s', a tokenizer that this version does not have", path, kind);
out:
    json_decref(json);
    return status;
}
