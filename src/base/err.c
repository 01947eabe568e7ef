#include "base/err.h"

const char *qk_err_text(enum qk_err err)
{
    switch (err) {
    case QK_OK:
        return "ok";
#define QK_ERR_CASE(code, text)                                                                    \
    case code:                                                                                     \
        return text;
        QK_ERR_MAP(QK_ERR_CASE)
#undef QK_ERR_CASE
    }
    return "unknown error";
}
