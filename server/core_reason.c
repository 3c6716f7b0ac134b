/* What a client, and a log, are told of a refusal. */
#include "server/core_state.h"

const char *core_reason_text(enum msg_reason reason)
{
    static const char *const reason_text[REASONS] = {
        [REASON_NONE] = "",
        [REASON_VERSION] =
            "the server speaks another version of the protocol: install the same release",
        [REASON_RUN] = "this update belongs to another run",
        [REASON_ROUND] = "this update is not for the present round",
        [REASON_SCHEMA] =
            "the tunable parameters differ from the server's: check model, method and release",
        [REASON_SHAPE] =
            "the update does not have the right number of parameters, or is not encoded "
            "as the run says",
        [REASON_NOT_FINITE] =
            "a number of the update is not finite or not below 2^20 in magnitude: "
            "lower the learning rate",
        [REASON_DUPLICATE] = "another update of this client is already counted in this round",
        [REASON_NOT_SELECTED] = "this client is not selected in this round",
        [REASON_SAMPLES] = "the number of samples must be 1 to 2^32",
        [REASON_MODEL] = "the base model differs from the server's: fetch the same model files",
        [REASON_DATA] = "the client cannot use its data",
        [REASON_TOKEN] = "the token is not valid",
        [REASON_IDENTITY] = "the update's identity does not match its content and sender",
        [REASON_STOPPING] = "the server is stopping",
        [REASON_UNEXPECTED] = "this message cannot come now",
        [REASON_LATE] = "too late: the round was closed, or the client took too long",
        [REASON_INTERNAL] = "the server is out of resources",
        [REASON_PART] = "this part of the update does not follow those that are here",
        [REASON_NORM] = "the update changes the parameters by more than federation.max_update_norm",
        [REASON_FULL] = "the server has enough clients just now",
    };
    return reason_text[reason];
}
