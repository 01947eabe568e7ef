#include "doc/problem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cuts back to a whole UTF-8 character after snprintf cut a long reason anywhere. */
static void problem_trim(char *text, size_t len)
{
    size_t start = len;

    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start > 0 && ((unsigned char)text[start - 1] & 0x80) != 0)
        text[start - 1] = '\0';
}

enum qk_err doc_problem_set(struct doc_problem *problem, int status, const char *error,
                            const char *format, ...)
{
    va_list args;
    int len;

    assert(problem != NULL);
    assert(error != NULL && format != NULL);

    problem->status = status;
    problem->error = error;
    va_start(args, format);
    len = vsnprintf(problem->reason, sizeof(problem->reason), format, args);
    va_end(args);
    if (len < 0)
        problem->reason[0] = '\0';
    else if ((size_t)len >= sizeof(problem->reason))
        problem_trim(problem->reason, sizeof(problem->reason) - 1);
    return QK_ERR_INVALID;
}
