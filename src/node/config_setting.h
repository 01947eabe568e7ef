/* The table of settings: their names in the file, the environment and on the command line, their
 * types, limits and defaults. */
#ifndef NODE_CONFIG_SETTING_H
#define NODE_CONFIG_SETTING_H

#include "node/config.h"

enum setting_type { SETTING_TEXT, SETTING_BOOL, SETTING_NUMBER, SETTING_CHOICE };

struct setting {
    const char *section, *key, *flag, *env;
    enum setting_type type;
    size_t at, size;      /* of the field in struct config */
    unsigned min, max;    /* SETTING_NUMBER */
    const char *choices;  /* SETTING_CHOICE: words by '|', their index is the enum's value */
    const char *default_; /* parsed like any value; NULL: none */
    const char *value, *help;
};

#define CONFIG_SETTINGS_N 36
extern const struct setting config_settings[CONFIG_SETTINGS_N];

/* Judges `text` and puts it in its field. `from` names the place for the message: a flag, a
 * variable, or file, line and key. QK_ERR_INVALID with a sentence appended to `message`. */
MUST_USE enum qk_err config_setting_store(const struct setting *setting, struct config *config,
                                          const char *from, const char *text, struct buf *message);

#endif
