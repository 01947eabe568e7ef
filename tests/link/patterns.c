#include "patterns.h"

#include <string.h>

#define SUITE "_25519_ChaChaPoly_BLAKE2b"
#define E NOISE_E
#define S NOISE_S
#define EE NOISE_EE
#define ES NOISE_ES
#define SE NOISE_SE
#define SS NOISE_SS
#define PSK NOISE_PSK

/* Noise Protocol Framework, revision 34, sections 7.4, 7.5, 9.4 and 18.1. */
static const struct noise_pattern patterns[] = {
    {"Noise_N" SUITE, false, true, false, 1, {{E, ES}}},
    {"Noise_X" SUITE, false, true, false, 1, {{E, ES, S, SS}}},
    {"Noise_NN" SUITE, false, false, false, 2, {{E}, {E, EE}}},
    {"Noise_NK" SUITE, false, true, false, 2, {{E, ES}, {E, EE}}},
    {"Noise_XK" SUITE, false, true, false, 3, {{E, ES}, {E, EE}, {S, SE}}},
    {"Noise_XX" SUITE, false, false, false, 3, {{E}, {E, EE, S, ES}, {S, SE}}},
    {"Noise_KK" SUITE, true, true, false, 2, {{E, ES, SS}, {E, EE, SE}}},
    {"Noise_IK" SUITE, false, true, false, 2, {{E, ES, S, SS}, {E, EE, SE}}},
    {"Noise_IX" SUITE, false, false, false, 2, {{E, S}, {E, EE, SE, S, ES}}},
    {"Noise_XX1" SUITE, false, false, false, 3, {{E}, {E, EE, S}, {ES, S, SE}}},
    {"Noise_IK1" SUITE, false, true, false, 2, {{E, S}, {E, EE, SE, ES}}},
    {"Noise_NKpsk0" SUITE, false, true, true, 2, {{PSK, E, ES}, {E, EE}}},
    {"Noise_NKpsk2" SUITE, false, true, true, 2, {{E, ES}, {E, EE, PSK}}},
    {"Noise_XXpsk3" SUITE, false, false, true, 3, {{E}, {E, EE, S, ES}, {S, SE, PSK}}},
    {"Noise_KKpsk0" SUITE, true, true, true, 2, {{PSK, E, ES, SS}, {E, EE, SE}}},
    {"Noise_KKpsk2" SUITE, true, true, true, 2, {{E, ES, SS}, {E, EE, SE, PSK}}},
    {"Noise_IKpsk1" SUITE, false, true, true, 2, {{E, ES, S, SS, PSK}, {E, EE, SE}}},
};

const struct noise_pattern *pattern_find(const char *name)
{
    if (strcmp(name, noise_ikpsk2.name) == 0)
        return &noise_ikpsk2;
    if (strcmp(name, noise_xkpsk3.name) == 0)
        return &noise_xkpsk3;
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        if (strcmp(name, patterns[i].name) == 0)
            return &patterns[i];
    return NULL;
}
