#include "base/plugin.h"
#include "base/file.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The folder of the file that this code was loaded from. */
static void own_folder(char *out) {
    Dl_info info;
    if (!dladdr((const void *)(uintptr_t)plugin_open, &info) || !info.dli_fname) info.dli_fname = "";
    snprintf(out, PATH_SIZE, "%s", info.dli_fname);
    char *slash = strrchr(out, '/');
    if (slash) *slash = 0;
    else snprintf(out, PATH_SIZE, ".");
}

int plugin_open(const char *name, int version, const char *hint, const void **table, pcv_error *err) {
    const char *asked = getenv("PERCEIVER_PLUGINS");
    char folder[PATH_SIZE], file[64], path[PATH_SIZE];
    own_folder(folder);
    snprintf(file, sizeof file, "perceiver-%.40s.so", name);
    int status = path_join(path, asked && *asked ? asked : folder, file, err);
    if (status) return status;
    if (!path_exists(path)) return fail(err, PCV_CONFIG, "%s: this plug-in is not there; %s", path, hint);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) return fail(err, PCV_CONFIG, "%s: cannot be loaded (%s); %s", path, dlerror(), hint);
    plugin_entry *entry = (plugin_entry *)(uintptr_t)dlsym(library, "perceiver_plugin");
    const void *found = entry ? entry() : NULL;
    int have = 0;
    if (found) memcpy(&have, found, sizeof have);
    if (have == version) {
        *table = found;
        return 0;
    }
    dlclose(library);
    return fail(err, PCV_CONFIG, "%s: a plug-in of version %d, expected %d; build it again", path, have, version);
}
