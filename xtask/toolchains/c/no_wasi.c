// What the C library would ask of an operating system, answered inside the component, so that it imports nothing beside the
// contract: standard output and standard error become lines of the job's log, and everything else is not there. What is
// missing here (opening a file, say) becomes an import of WASI, which the check of the built component names.
#include "engine.h"

#include <stdint.h>

// Errno of WASI preview 1.
enum { SUCCESS = 0, BADF = 8, NOSYS = 52 };

struct piece {
    const uint8_t *bytes;
    uint32_t length;
};

// A line is passed on when it ends, or when it fills this.
static uint8_t line[1024];
static uint32_t line_length;

static void pass_on(int32_t fd) {
    engine_string_t message = { line, line_length };
    filemill_engine_host_log(fd == 1 ? FILEMILL_ENGINE_HOST_LEVEL_INFO : FILEMILL_ENGINE_HOST_LEVEL_WARN, &message);
    line_length = 0;
}

int32_t __imported_wasi_snapshot_preview1_fd_write(int32_t fd, int32_t pieces, int32_t count, int32_t written) {
    if (fd != 1 && fd != 2) return BADF;
    uint32_t total = 0;
    for (int32_t i = 0; i < count; i++) {
        const struct piece piece = ((const struct piece *)(intptr_t)pieces)[i];
        for (uint32_t at = 0; at < piece.length; at++) {
            uint8_t byte = piece.bytes[at];
            // A log line is UTF-8, and one that is cut may not be: what is not ASCII is shown as `?`.
            if (byte != '\n') line[line_length++] = byte < 0x80 ? byte : '?';
            if (byte == '\n' || line_length == sizeof line) pass_on(fd);
        }
        total += piece.length;
    }
    *(uint32_t *)(intptr_t)written = total;
    return SUCCESS;
}

int32_t __imported_wasi_snapshot_preview1_fd_fdstat_get(int32_t fd, int32_t status) {
    if (fd != 1 && fd != 2) return BADF;
    // A character device that cannot seek: the C library takes it for a terminal, and hands on each line as it ends.
    uint64_t *words = (uint64_t *)(intptr_t)status;
    words[0] = 2;
    words[1] = words[2] = 0;
    return SUCCESS;
}

int32_t __imported_wasi_snapshot_preview1_fd_close(int32_t fd) {
    (void)fd;
    return BADF;
}

int32_t __imported_wasi_snapshot_preview1_fd_read(int32_t fd, int32_t pieces, int32_t count, int32_t read) {
    (void)fd, (void)pieces, (void)count, (void)read;
    return BADF;
}

int32_t __imported_wasi_snapshot_preview1_fd_seek(int32_t fd, int64_t offset, int32_t whence, int32_t position) {
    (void)fd, (void)offset, (void)whence, (void)position;
    return BADF;
}

int32_t __imported_wasi_snapshot_preview1_environ_sizes_get(int32_t count, int32_t bytes) {
    *(uint32_t *)(intptr_t)count = 0;
    *(uint32_t *)(intptr_t)bytes = 0;
    return SUCCESS;
}

int32_t __imported_wasi_snapshot_preview1_environ_get(int32_t entries, int32_t bytes) {
    (void)entries, (void)bytes;
    return SUCCESS;
}

int32_t __imported_wasi_snapshot_preview1_clock_res_get(int32_t clock, int32_t resolution) {
    (void)clock, (void)resolution;
    return NOSYS;
}

int32_t __imported_wasi_snapshot_preview1_clock_time_get(int32_t clock, int64_t precision, int32_t time) {
    (void)clock, (void)precision, (void)time;
    return NOSYS;
}

int32_t __imported_wasi_snapshot_preview1_random_get(int32_t bytes, int32_t length) {
    (void)bytes, (void)length;
    return NOSYS;
}

int32_t __imported_wasi_snapshot_preview1_sched_yield(void) {
    return SUCCESS;
}

_Noreturn void __imported_wasi_snapshot_preview1_proc_exit(int32_t code) {
    (void)code;
    static const char text[] = "the engine called `exit`";
    engine_string_t message = { (uint8_t *)text, sizeof text - 1 };
    filemill_engine_host_fail(&message);
    __builtin_trap();
}
