/* What people do, as lines: refusals are bounded, first uses are told once by each login, and what
 * cannot be recorded is refused. */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/limits.h"
#include "audit/audit.h"
#include "service/audit_use.h"

static char dir[] = "/tmp/qk-audit-use-XXXXXX";
static char path[64];
static struct service service;
static const uint8_t key[KEY_ID_BYTES] = {1, 2, 3};

static void set_up(void)
{
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_lt(snprintf(path, sizeof(path), "%s/audit.log", dir), (int)sizeof(path));
    cr_assert_eq(audit_open(path, &service.audit), QK_OK);
    cr_assert_eq(audit_use_new(false, &service.audit_use), QK_OK);
}

static void tear_down(void)
{
    audit_use_free(service.audit_use);
    audit_close(service.audit);
    unlink(path);
    rmdir(dir);
}

TestSuite(audit_use, .init = set_up, .fini = tear_down);

static unsigned lines_with(const char *text)
{
    FILE *file = fopen(path, "re");
    char line[AUDIT_LINE_BYTES_MAX];
    unsigned n = 0;

    cr_assert_not_null(file);
    while (fgets(line, sizeof(line), file) != NULL)
        n += strstr(line, text) != NULL;
    (void)fclose(file);
    return n;
}

static struct exchange exchange_of(enum principal_kind kind)
{
    struct exchange exchange = {.request.who.kind = kind};

    memset(exchange.request.who.user_id, 0xab, USER_ID_BYTES);
    (void)snprintf(exchange.request.who.name, sizeof(exchange.request.who.name), "olga");
    (void)snprintf(exchange.from, sizeof(exchange.from), "192.0.2.7:4242");
    return exchange;
}

Test(audit_use, refusals_beyond_a_number_a_second_are_a_count)
{
    struct exchange exchange = exchange_of(PRINCIPAL_NONE);

    for (unsigned i = 0; i < 1000; i++) {
        audit_refused(&service, &exchange, "GET", "/{db}", 401);
        audit_login_failed(&service, NULL, "192.0.2.7");
    }
    cr_assert_eq(lines_with("\"event\":\"refused\"") + lines_with("\"event\":\"login_failed\""),
                 AUDIT_REFUSALS_S);
    audit_use_tick(&service);
    cr_assert_eq(lines_with("\"event\":\"refused_more\",\"count\":\"1980\""), 1);
    audit_use_tick(&service);
    cr_assert_eq(lines_with("refused_more"), 1);
    audit_refused(&service, &exchange, "GET", "/{db}", 401);
    cr_assert_eq(lines_with("\"event\":\"refused\"") + lines_with("\"event\":\"login_failed\""),
                 AUDIT_REFUSALS_S + 1);
}

Test(audit_use, an_order_has_ids_and_a_route_and_no_name)
{
    struct exchange exchange = exchange_of(PRINCIPAL_USER);
    uint64_t call = 0;

    cr_assert_eq(audit_call(&service, &exchange, "PUT", "/{db}", &call), QK_OK);
    cr_assert_eq(call, 1);
    audit_call_failed(&service, call, 412);
    cr_assert_eq(lines_with("\"route\":\"/{db}\",\"user\":\"abababababababababababababababab\","
                            "\"from\":\"192.0.2.7:4242\""),
                 1);
    cr_assert_eq(lines_with("\"call\":\"1\",\"status\":\"412\""), 1);
    // No digit of "olga" could be part of a line's hash, as all of "ada" could.
    cr_assert_eq(lines_with("olga"), 0);
    exchange = exchange_of(PRINCIPAL_CONTROL);
    cr_assert_eq(audit_call(&service, &exchange, "POST", "/_quorumkeep/init", &call), QK_OK);
    cr_assert_eq(call, 3);
    cr_assert_eq(lines_with("\"user\":\"control socket\",\"prev\""), 1);
}

Test(audit_use, the_first_use_of_a_key_by_each_login_is_a_line)
{
    struct exchange exchange = exchange_of(PRINCIPAL_USER);
    struct principal *who = &exchange.request.who;
    uint8_t other[KEY_ID_BYTES] = {9};

    for (int i = 0; i < 3; i++) {
        cr_assert_eq(audit_key_use(&service, who, key, "encrypt"), QK_OK);
        cr_assert_eq(audit_key_use(&service, who, key, "decrypt"), QK_OK);
        cr_assert_eq(audit_key_use(&service, who, other, "decrypt"), QK_OK);
    }
    cr_assert_eq(lines_with("key_use"), 3);
    who->token_id[0] = 1;
    cr_assert_eq(audit_key_use(&service, who, key, "decrypt"), QK_OK);
    cr_assert_eq(lines_with("key_use"), 4, "another login of the same user");
    who->credential_version++;
    cr_assert_eq(audit_key_use(&service, who, key, "decrypt"), QK_OK);
    cr_assert_eq(lines_with("key_use"), 5, "after another password");
}

Test(audit_use, with_all_each_use_is_a_line)
{
    struct exchange exchange = exchange_of(PRINCIPAL_USER);

    audit_use_free(service.audit_use);
    cr_assert_eq(audit_use_new(true, &service.audit_use), QK_OK);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(audit_key_use(&service, &exchange.request.who, key, "decrypt"), QK_OK);
    cr_assert_eq(lines_with("key_use"), 5);
}

Test(audit_use, no_first_use_is_missed_when_the_table_is_full)
{
    struct exchange exchange = exchange_of(PRINCIPAL_USER);
    uint8_t id[KEY_ID_BYTES] = {0};
    unsigned n = AUDIT_USES_MAX + 1000;

    for (unsigned i = 0; i < n; i++) {
        put_u32(id, i);
        cr_assert_eq(audit_key_use(&service, &exchange.request.who, id, "decrypt"), QK_OK);
    }
    cr_assert_eq(lines_with("key_use"), n);
}

Test(audit_use, a_use_that_cannot_be_recorded_is_refused_and_not_remembered)
{
    struct exchange exchange = exchange_of(PRINCIPAL_USER);
    struct rlimit limit = {10, RLIM_INFINITY};
    uint64_t call = 0;

    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_assert_eq(audit_key_use(&service, &exchange.request.who, key, "decrypt"), QK_ERR_UNRECORDED);
    cr_assert_eq(audit_call(&service, &exchange, "PUT", "/{db}", &call), QK_ERR_UNRECORDED);
    cr_assert_eq(audit_login(&service, &exchange.request.who, "192.0.2.7"), QK_ERR_UNRECORDED);
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_assert_eq(audit_key_use(&service, &exchange.request.who, key, "decrypt"), QK_OK);
    cr_assert_eq(lines_with("key_use"), 1);
}
