/* The check that libsndfile leaves out: a FLAC's header has the MD5 of all samples. The file is decoded once more. */
#include "media/sound_source.h"

#include <FLAC/stream_decoder.h>
#include <unistd.h>

static FLAC__StreamDecoderReadStatus read_bytes(const FLAC__StreamDecoder *d, FLAC__byte *out, size_t *size,
                                                void *file) {
    pcv_error unused;
    (void)d;
    if (file_next(file, out, *size, size, &unused)) return FLAC__STREAM_DECODER_READ_STATUS_ABORT;
    return *size ? FLAC__STREAM_DECODER_READ_STATUS_CONTINUE : FLAC__STREAM_DECODER_READ_STATUS_END_OF_STREAM;
}

static FLAC__StreamDecoderWriteStatus pass_over(const FLAC__StreamDecoder *d, const FLAC__Frame *frame,
                                                const FLAC__int32 *const *samples, void *file) {
    (void)d, (void)frame, (void)samples, (void)file;
    return FLAC__STREAM_DECODER_WRITE_STATUS_CONTINUE;
}

static void on_error(const FLAC__StreamDecoder *d, FLAC__StreamDecoderErrorStatus reason, void *file) {
    (void)d, (void)reason, (void)file;
}

/* A header without an MD5, all zeros, says nothing; libFLAC knows. */
bool flac_is_intact(file_reader *file) {
    FLAC__StreamDecoder *d = FLAC__stream_decoder_new();
    if (!d) return true;
    FLAC__stream_decoder_set_md5_checking(d, true);
    lseek(file->fd, 0, SEEK_SET);
    if (!FLAC__stream_decoder_init_stream(d, read_bytes, NULL, NULL, NULL, NULL, pass_over, NULL, on_error, file))
        FLAC__stream_decoder_process_until_end_of_stream(d);
    bool intact = FLAC__stream_decoder_finish(d);
    FLAC__stream_decoder_delete(d);
    return intact;
}
