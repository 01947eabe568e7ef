#include "service/cluster/attest.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* What a program of the operator's says goes into logs: printable ASCII alone, one line. */
static void reason_set(struct attest_judgement *judgement, struct bytes text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len && n + 1 < sizeof(judgement->reason); i++) {
        uint8_t c = text.data[i];

        if (c == '\n' || c == '\r')
            break;
        judgement->reason[n++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
    }
    judgement->reason[n] = '\0';
}

static void fail(struct attest_judgement *judgement, const char *what)
{
    judgement->answer = SEAL_ATTEST_DENY;
    judgement->failed = true;
    reason_set(judgement, bytes_str(what));
}

static bool is_blank(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (memchr(" \t\r\n", text.data[i], 4) == NULL)
            return false;
    return true;
}

/* QK_ERR_INVALID unless it is one object with a "decision" of the three, no key twice. */
static enum qk_err parse(struct bytes output, struct attest_judgement *judgement)
{
    json_t *json = json_loadb((const char *)output.data, output.len, JSON_REJECT_DUPLICATES, NULL);
    const char *decision = json_string_value(json_object_get(json, "decision"));
    const json_t *reason = json_object_get(json, "reason");
    enum qk_err err = QK_OK;

    if (decision == NULL || (reason != NULL && !json_is_string(reason)))
        err = QK_ERR_INVALID;
    else if (strcmp(decision, "allow") == 0)
        judgement->answer = SEAL_ATTEST_ALLOW;
    else if (strcmp(decision, "deny") == 0)
        judgement->answer = SEAL_ATTEST_DENY;
    else if (strcmp(decision, "defer") == 0)
        judgement->answer = SEAL_ATTEST_DEFER;
    else
        err = QK_ERR_INVALID;
    if (err == QK_OK && reason != NULL)
        reason_set(judgement, bytes_of(json_string_value(reason), json_string_length(reason)));
    json_decref(json);
    return err;
}

/* The exit status is the answer; a JSON object beside it may give the reason, else standard error
 * does. */
static void judge_status(const struct attest_result *result, struct attest_judgement *judgement)
{
    struct attest_judgement said = {.answer = SEAL_ATTEST_DENY};

    judgement->answer = result->code == ATTEST_EXIT_DEFER ? SEAL_ATTEST_DEFER : SEAL_ATTEST_DENY;
    if (parse(result->output, &said) == QK_OK)
        memcpy(judgement->reason, said.reason, sizeof(judgement->reason));
    else if (result->errors.len > 0)
        reason_set(judgement, result->errors);
    else
        snprintf(judgement->reason, sizeof(judgement->reason), "exit status %u", result->code);
}

void attest_judge(const struct attest_result *result, struct attest_judgement *ret_judgement)
{
    struct attest_judgement judgement = {.answer = SEAL_ATTEST_DENY};
    char text[64];

    assert(result != NULL);
    assert(ret_judgement != NULL);

    switch (result->end) {
    case ATTEST_EXITED:
        if (result->code != 0)
            judge_status(result, &judgement);
        else if (is_blank(result->output))
            judgement.answer = SEAL_ATTEST_ALLOW;
        else if (parse(result->output, &judgement) != QK_OK)
            fail(&judgement, "its output is no JSON object with a decision");
        break;
    case ATTEST_SIGNALED:
        snprintf(text, sizeof(text), "it was ended by signal %u", result->code);
        fail(&judgement, text);
        break;
    case ATTEST_TIMEOUT:
        fail(&judgement, "no answer within the time limit");
        break;
    case ATTEST_OVERFLOW:
        fail(&judgement, "it wrote too much");
        break;
    case ATTEST_FAILED:
    case ATTEST_ENDS_N:
        fail(&judgement, "it could not be run");
        if (result->errors.len > 0)
            reason_set(&judgement, result->errors);
        break;
    }
    *ret_judgement = judgement;
}

const char *attest_answer_text(const struct attest_judgement *judgement)
{
    if (judgement->failed)
        return "failed";
    return judgement->answer == SEAL_ATTEST_ALLOW   ? "allow"
           : judgement->answer == SEAL_ATTEST_DEFER ? "defer"
                                                    : "deny";
}
