#include <criterion/criterion.h>

#include <string.h>

#include "service/cluster/attest.h"

static struct attest_judgement judge(enum attest_end end, unsigned code, const char *output,
                                     const char *errors)
{
    struct attest_result result = {end, code, bytes_str(output), bytes_str(errors)};
    struct attest_judgement judgement;

    attest_judge(&result, &judgement);
    return judgement;
}

Test(attest, exit_status_zero_without_output_allows)
{
    cr_assert_eq(judge(ATTEST_EXITED, 0, "", "").answer, SEAL_ATTEST_ALLOW);
    cr_assert_eq(judge(ATTEST_EXITED, 0, " \n\t\r\n", "noise").answer, SEAL_ATTEST_ALLOW);
}

Test(attest, the_decision_of_a_json_object_counts)
{
    struct attest_judgement deny =
        judge(ATTEST_EXITED, 0, "{\"decision\":\"deny\",\"reason\":\"not in the rack\"}\n", "");

    cr_assert_eq(judge(ATTEST_EXITED, 0, "{\"decision\":\"allow\"}", "").answer, SEAL_ATTEST_ALLOW);
    cr_assert_eq(deny.answer, SEAL_ATTEST_DENY);
    cr_assert_not(deny.failed);
    cr_assert_str_eq(deny.reason, "not in the rack");
    cr_assert_str_eq(attest_answer_text(&deny), "deny");
    cr_assert_eq(judge(ATTEST_EXITED, 0, "{\"decision\":\"defer\"}", "").answer, SEAL_ATTEST_DEFER);
}

Test(attest, exit_status_75_defers_and_any_other_denies)
{
    struct attest_judgement judgement;

    cr_assert_eq(judge(ATTEST_EXITED, 75, "", "").answer, SEAL_ATTEST_DEFER);
    for (unsigned code = 1; code < 256; code++) {
        if (code == 75)
            continue;
        judgement = judge(ATTEST_EXITED, code, "", "");
        cr_assert_eq(judgement.answer, SEAL_ATTEST_DENY, "%u", code);
        /* A yes on paper does not outweigh a no by status. */
        judgement = judge(ATTEST_EXITED, code, "{\"decision\":\"allow\",\"reason\":\"r\"}", "e");
        cr_assert_eq(judgement.answer, SEAL_ATTEST_DENY, "%u", code);
        cr_assert_str_eq(judgement.reason, "r");
    }
    judgement = judge(ATTEST_EXITED, 1, "", "Traceback\nmore");
    cr_assert_str_eq(judgement.reason, "Traceback");
    judgement = judge(ATTEST_EXITED, 1, "", "");
    cr_assert_str_eq(judgement.reason, "exit status 1");
}

Test(attest, what_is_no_answer_denies_and_is_said_to_have_failed)
{
    static const char *const garbage[] = {
        "yes",
        "allow",
        "{",
        "[]",
        "\"allow\"",
        "{}",
        "{\"decision\":true}",
        "{\"decision\":\"ALLOW\"}",
        "{\"decision\":\"allow\"} and more",
        "{\"decision\":\"allow\",\"decision\":\"deny\"}",
        "{\"decision\":\"allow\",\"reason\":7}",
        "{\"decision\":\"allow\\u0000\"}",
        "\xff\xfe",
    };
    struct attest_judgement judgement;

    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        judgement = judge(ATTEST_EXITED, 0, garbage[i], "");
        cr_assert_eq(judgement.answer, SEAL_ATTEST_DENY, "%s", garbage[i]);
        cr_assert(judgement.failed, "%s", garbage[i]);
    }
    for (enum attest_end end = ATTEST_SIGNALED; end < ATTEST_ENDS_N; end++) {
        judgement = judge(end, 0, "{\"decision\":\"allow\"}", "");
        cr_assert_eq(judgement.answer, SEAL_ATTEST_DENY, "%d", (int)end);
        cr_assert(judgement.failed, "%d", (int)end);
        cr_assert_gt(strlen(judgement.reason), 0);
        cr_assert_str_eq(attest_answer_text(&judgement), "failed");
    }
}

Test(attest, a_decision_with_a_zero_byte_behind_it_is_none)
{
    static const char text[] = "{\"decision\":\"allow\"}\0";
    struct attest_result result = {ATTEST_EXITED, 0, bytes_of(text, sizeof text - 1), BYTES_NONE};
    struct attest_judgement judgement;

    attest_judge(&result, &judgement);
    cr_assert_eq(judgement.answer, SEAL_ATTEST_DENY);
}

Test(attest, reasons_are_one_short_printable_line)
{
    char text[2048];
    struct attest_judgement judgement;

    memset(text, 'a', sizeof text);
    memcpy(text, "{\"decision\":\"deny\",\"reason\":\"", 29);
    memcpy(text + sizeof text - 3, "\"}", 3);
    judgement = judge(ATTEST_EXITED, 0, text, "");
    cr_assert_eq(judgement.answer, SEAL_ATTEST_DENY);
    cr_assert_eq(strlen(judgement.reason), ATTEST_REASON_BYTES - 1);
    judgement = judge(ATTEST_EXITED, 0,
                      "{\"decision\":\"deny\",\"reason\":\"\\u001b[31m\xc3\xa9\\nsecond\"}", "");
    cr_assert_str_eq(judgement.reason, "?[31m??");
}
