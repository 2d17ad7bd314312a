#include "data/input_names.h"
#include "base/file.h"

#include <ctype.h>
#include <fnmatch.h>
#include <string.h>
#include <strings.h>

/* ------------------------------------------------------------------ one name */

bool name_matches(const char *const *rules, const char *relative) {
    for (; rules && *rules; rules++)
        if (!fnmatch(*rules, relative, 0) || !fnmatch(*rules, path_name(relative), 0)) return true;
    return false;
}

static bool is_any(const char *name, const char *const *patterns) {
    for (; *patterns; patterns++)
        if (!fnmatch(*patterns, name, FNM_CASEFOLD)) return true;
    return false;
}

bool name_is_checksums(const char *name) {
    static const char *const patterns[] = {"sha*sum", "sha*sums", "md5sum", "md5sums", "b2sum", "b2sums", "checksums",
                                           "sha*sums.txt", "md5sums.txt", "checksums.txt", "*.md5", "*.sha1",
                                           "*.sha256", "*.sha512", NULL};
    return is_any(name, patterns);
}

static bool is_program_or_page(const char *name) {
    static const char *const patterns[] = {
        "*.py", "*.pyc", "*.ipynb", "*.c", "*.cc", "*.cpp", "*.h", "*.hpp", "*.cu", "*.js", "*.ts", "*.java", "*.go",
        "*.rs", "*.rb", "*.pl", "*.lua", "*.jl", "*.m", "*.r", "*.sh", "*.bat", "*.cs", "*.swift", "*.kt", "*.scala",
        "*.hs", "*.ml", "*.php", "*.yaml", "*.yml", "*.toml", "*.o", "*.so",
        "*.md", "*.rst", "*.html", NULL};
    return is_any(name, patterns);
}

/* The size of a word without the number behind it: "train-00000-of-00002", "test_1". */
static size_t without_number(const char *word, size_t size) {
    static const char of[] = "-of-";
    size_t digits = size, left;
    while (digits > 0 && isdigit((unsigned char)word[digits - 1])) digits--;
    if (digits == size || digits == 0) return size;
    left = digits - (word[digits - 1] == '-' || word[digits - 1] == '_');
    bool one_of = digits > strlen(of) && !strncmp(word + digits - strlen(of), of, strlen(of));
    return one_of ? without_number(word, digits - strlen(of)) : left;
}

static int split_of_word(const char *word, size_t size) {
    static const struct {
        const char *name;
        split_name split;
    } known[] = {{"train", SPLIT_TRAIN},    {"validation", SPLIT_VALIDATION}, {"valid", SPLIT_VALIDATION},
                 {"val", SPLIT_VALIDATION}, {"dev", SPLIT_VALIDATION},        {"test", SPLIT_TEST}};
    size = without_number(word, size);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == size && !strncasecmp(known[i].name, word, size)) return (int)known[i].split;
    return DEALT;
}

int split_of_name(const char *name) {
    int split = DEALT;
    if (is_program_or_page(name)) return DEALT;
    for (const char *word = name; split == DEALT && *word;) {
        size_t size = strcspn(word, ".");
        split = split_of_word(word, size);
        word += size + (word[size] != 0);
    }
    return split;
}

int split_of_path(const char *path) {
    char trimmed[PATH_SIZE];
    return path_trim(trimmed, path, NULL) ? DEALT : split_of_name(path_name(trimmed));
}

/* ------------------------------------------------------------------ names side by side */

bool documents_are_folders(const pcv_prepare_options *o) { return o->documents && !strcmp(o->documents, "folders"); }

int names_depth(const pcv_prepare_options *o) { return documents_are_folders(o) ? 1 : 2; }

typedef struct found {
    bool any[SPLITS], file[SPLITS]; /* a file or folder is named so */
} found;

static void look_at(found *f, const char *path, const char *relative, const pcv_prepare_options *o) {
    int split = name_matches(o->exclude, relative) ? DEALT : split_of_path(relative);
    if (split == DEALT) return;
    f->any[split] = true;
    f->file[split] |= !path_is_folder(path);
}

static bool is_enough(const found *f) {
    bool others = f->any[SPLIT_VALIDATION] || f->any[SPLIT_TEST];
    return (f->any[SPLIT_TRAIN] && others) || (f->file[SPLIT_VALIDATION] && f->file[SPLIT_TEST]);
}

/* What a folder of an input holds; `name` is its own where it is not the input itself. */
static void look_into(found *f, const char *folder, const char *name, const pcv_prepare_options *o) {
    file_list names = {0};
    char path[PATH_SIZE], relative[PATH_SIZE];
    bool known = !folder_names(folder, &names, NULL);
    for (size_t i = 0; i < names.count && known; i++)
        if (!path_join(path, folder, names.paths[i], NULL) &&
            !path_join(relative, name ? name : ".", names.paths[i], NULL))
            look_at(f, path, name ? relative : names.paths[i], o);
    file_list_free(&names);
}

/* The same of the folders in it, all of them together in *f. True where one of them has enough by itself. */
static bool look_below(found *f, const char *folder, const pcv_prepare_options *o) {
    file_list names = {0};
    char path[PATH_SIZE];
    bool enough = false, known = names_depth(o) > 1 && !folder_names(folder, &names, NULL);
    for (size_t i = 0; i < names.count && known; i++) {
        found one = {0};
        if (path_join(path, folder, names.paths[i], NULL) || !path_is_folder(path)) continue;
        look_into(&one, path, names.paths[i], o);
        enough |= is_enough(&one);
        for (int s = 0; s < SPLITS; s++) f->any[s] |= one.any[s];
    }
    file_list_free(&names);
    return enough;
}

bool names_decide(const pcv_prepare_options *o) {
    found top = {0}, below = {0};
    bool enough = false;
    if (o->split_percent) return false;
    for (const char *const *path = o->inputs; path && *path; path++) {
        look_at(&top, *path, *path, o);
        look_into(&top, *path, NULL, o);
        enough |= look_below(&below, *path, o);
    }
    return enough || is_enough(&top);
}

bool folder_has_names(const char *folder, const pcv_prepare_options *o) {
    found f = {0};
    look_into(&f, folder, NULL, o);
    look_below(&f, folder, o);
    return f.any[SPLIT_TRAIN] || f.any[SPLIT_VALIDATION] || f.any[SPLIT_TEST];
}
