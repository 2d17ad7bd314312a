/* Plug-ins: libraries for what many machines lack, loaded when they are needed.
 *
 * A plug-in "perceiver-NAME.so" exports perceiver_plugin(), which returns a table that begins with its version. It is
 * looked for in $PERCEIVER_PLUGINS, and beside the library or program that holds this code. */
#ifndef BASE_PLUGIN_H
#define BASE_PLUGIN_H

#include "base/error.h"

typedef const void *plugin_entry(void);

/* *table stays valid until the process ends. PCV_CONFIG when there is no such plug-in, it does not load, or its
 * version is another; `hint` says what to do. */
int plugin_open(const char *name, int version, const char *hint, const void **table, pcv_error *err);

#endif
