/* Prints a completion script made from the table of verbs. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static void print_groups(void)
{
    const char *last = "";

    for (const struct verb *verb = cli_verbs; verb->name != NULL; verb++) {
        const char *word = verb->group == NULL ? verb->name : verb->group;

        if (strcmp(word, last) != 0)
            printf("%s ", word);
        last = word;
    }
}

static void print_group_case(const char *group)
{
    printf("    %s) words='", group);
    for (const struct verb *verb = cli_verbs; verb->name != NULL; verb++) {
        if (verb->group != NULL && strcmp(verb->group, group) == 0)
            printf("%s ", verb->name);
    }
    printf("' ;;\n");
}

static void print_option_case(const struct verb *verb)
{
    if (verb->group == NULL)
        printf("    '%s '*|'%s ') words='", verb->name, verb->name);
    else
        printf("    '%s %s'*) words='", verb->group, verb->name);
    for (size_t i = 0; i < OPTION_SPECS_N; i++) {
        if (option_specs[i].global || option_listed(verb->options, &option_specs[i]))
            printf("%s ", option_specs[i].name);
    }
    printf("' ;;\n");
}

static void print_bash(void)
{
    const char *last = "";

    printf("# Completion of quorumkeep for bash: source <(quorumkeep completion bash)\n"
           "_quorumkeep() {\n  local word=${COMP_WORDS[COMP_CWORD]} words=\n"
           "  if [ \"$COMP_CWORD\" = 1 ]; then\n    words='");
    print_groups();
    printf("'\n  elif [ \"$COMP_CWORD\" = 2 ] && [[ $word != -* ]]; then\n"
           "    case ${COMP_WORDS[1]} in\n");
    for (const struct verb *verb = cli_verbs; verb->name != NULL; verb++) {
        if (verb->group != NULL && strcmp(verb->group, last) != 0) {
            print_group_case(verb->group);
            last = verb->group;
        }
    }
    printf("    esac\n  else\n    case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n");
    for (const struct verb *verb = cli_verbs; verb->name != NULL; verb++)
        print_option_case(verb);
    printf("    esac\n  fi\n"
           "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}\n"
           "complete -o default -F _quorumkeep quorumkeep\n");
}

enum cli_exit cli_completion(struct cli *cli)
{
    const char *shell = cli->options.args_n == 0 ? "bash" : cli->options.args[0];

    if (strcmp(shell, "zsh") == 0)
        printf("autoload -U +X bashcompinit && bashcompinit\n");
    else if (strcmp(shell, "bash") != 0)
        return cli_fail(CLI_USAGE, "completion for '%s' is not known: bash or zsh", shell);
    print_bash();
    return CLI_OK;
}
