/* quorumkeep: the administrator's and user's command. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static void print_options(FILE *to, const char *listed, bool global)
{
    for (size_t i = 0; i < OPTION_SPECS_N; i++) {
        const struct option_spec *spec = &option_specs[i];
        char name[48];

        if (spec->global != global || (!global && !option_listed(listed, spec)))
            continue;
        (void)snprintf(name, sizeof(name), "%s%s%s", spec->name, spec->value == NULL ? "" : " ",
                       spec->value == NULL ? "" : spec->value);
        fprintf(to, "  %-22s %s\n", name, spec->help);
    }
}

static void print_overview(FILE *to, const char *group)
{
    fprintf(to, "usage: quorumkeep VERB [arguments] [options]\n\n");
    for (const struct verb *verb = cli_verbs; verb->name != NULL; verb++) {
        char name[64];

        if (group != NULL && (verb->group == NULL || strcmp(verb->group, group) != 0))
            continue;
        (void)snprintf(name, sizeof(name), "%s%s%s %s", verb->group == NULL ? "" : verb->group,
                       verb->group == NULL ? "" : " ", verb->name, verb->args);
        fprintf(to, "  %-22s %s\n", name, verb->about);
    }
    fprintf(to, "\noptions of every verb:\n");
    print_options(to, "", true);
    fprintf(to, "\nThe node is found by --addr or QUORUMKEEP_ADDR, else by the control socket in "
                "--data,\nQUORUMKEEP_DATA or /var/lib/quorumkeep, else at 127.0.0.1:7600.\n"
                "exit codes: 0 ok, 1 error, 2 sealed, 3 usage, 4 denied, 5 not found, 6 conflict\n"
                "example: quorumkeep node invite | ssh n2 quorumkeep node join\n");
}

static void print_help(const struct verb *verb)
{
    printf("usage: quorumkeep %s%s%s%s%s [options]\n\n%s\n\n",
           verb->group == NULL ? "" : verb->group, verb->group == NULL ? "" : " ", verb->name,
           verb->args[0] == '\0' ? "" : " ", verb->args, verb->about);
    print_options(stdout, verb->options, false);
    print_options(stdout, "", true);
    printf("\nexample: %s\n"
           "exit codes: 0 ok, 1 error, 2 sealed, 3 usage, 4 denied, 5 not found, 6 conflict\n",
           verb->example);
}

static bool is_group(const char *word)
{
    for (const struct verb *verb = cli_verbs; verb->name != NULL; verb++) {
        if (verb->group != NULL && strcmp(verb->group, word) == 0)
            return true;
    }
    return false;
}

/* The row for the first words; `ret_used` of them name it. */
static const struct verb *find_verb(int argc, char **argv, int *ret_used)
{
    for (const struct verb *verb = cli_verbs; verb->name != NULL; verb++) {
        if (verb->group == NULL && strcmp(argv[1], verb->name) == 0) {
            *ret_used = 2;
            return verb;
        }
        if (verb->group != NULL && argc > 2 && strcmp(argv[1], verb->group) == 0 &&
            strcmp(argv[2], verb->name) == 0) {
            *ret_used = 3;
            return verb;
        }
    }
    return NULL;
}

static int run(const struct verb *verb, struct cli *cli)
{
    enum cli_exit code;

    if (cli->options.help) {
        print_help(verb);
        return CLI_OK;
    }
    if (cli->options.args_n < verb->args_min || cli->options.args_n > verb->args_max) {
        fprintf(stderr, "usage: quorumkeep %s%s%s %s\n", verb->group == NULL ? "" : verb->group,
                verb->group == NULL ? "" : " ", verb->name, verb->args);
        return CLI_USAGE;
    }
    code = verb->offline ? CLI_OK : cli_connect(cli);
    if (code == CLI_OK)
        code = verb->run(cli);
    cli_fini(cli);
    if (code == CLI_OK && (fflush(stdout) != 0 || ferror(stdout)))
        code = CLI_ERROR; /* what was asked for did not arrive */
    return (int)code;
}

/* No verb was found: help that was asked for, or what is wrong. */
static int explain(int argc, char **argv)
{
    bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                             strcmp(argv[1], "help") == 0);
    const char *group = argc > 1 && is_group(argv[1]) ? argv[1] : NULL;

    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("quorumkeep " QK_VERSION "\n");
        return CLI_OK;
    }
    if (group != NULL && argc > 2)
        help = strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0;
    if (!help && argc > 1 && (group == NULL || argc > 2))
        return cli_fail(CLI_USAGE, "unknown verb '%.64s'; 'quorumkeep %s%s--help' lists them",
                        group == NULL ? argv[1] : argv[2], group == NULL ? "" : group,
                        group == NULL ? "" : " ");
    print_overview(help ? stdout : stderr, group);
    return help ? CLI_OK : CLI_USAGE;
}

int main(int argc, char **argv)
{
    struct cli cli = {.channel = {.fd = -1},
                      .authorization = BUF_SECRET_INIT(HTTP_HEADER_BYTES_MAX)};
    struct buf message = BUF_INIT(4096);
    const struct verb *verb;
    int used = 0, code;

    verb = argc > 1 ? find_verb(argc, argv, &used) : NULL;
    if (verb == NULL)
        return explain(argc, argv);
    if (options_parse(argc - used, argv + used, verb->options, &cli.options, &message) == QK_OK)
        code = run(verb, &cli);
    else
        code = cli_fail(CLI_USAGE, "%.*s; --help lists them", (int)message.len,
                        (const char *)message.data);
    buf_fini(&message);
    return code;
}
