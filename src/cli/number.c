#include "cli/number.h"

enum qk_err number_parse(const char *text, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (*text == '\0')
        return QK_ERR_INVALID;
    for (; *text != '\0'; text++) {
        uint64_t digit = (uint64_t)(*text - '0');

        if (*text < '0' || *text > '9' || value > (UINT64_MAX - digit) / 10)
            return QK_ERR_INVALID;
        value = value * 10 + digit;
    }
    if (value > max)
        return QK_ERR_INVALID;
    *ret_value = value;
    return QK_OK;
}
