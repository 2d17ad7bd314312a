// The SentencePiece library behind a table of C functions.
#include "plugins/sentencepiece.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <cstdio>
#include <string>
#include <vector>

namespace {

using sentencepiece::SentencePieceProcessor;

void say(char *message, const std::string &text) { std::snprintf(message, SENTENCEPIECE_MESSAGE, "%s", text.c_str()); }

const SentencePieceProcessor *of(const void *model) { return static_cast<const SentencePieceProcessor *>(model); }

void *open_model(const void *bytes, size_t size, char *message) {
    auto *model = new SentencePieceProcessor;
    const auto status = model->LoadFromSerializedProto({static_cast<const char *>(bytes), size});
    if (status.ok()) return model;
    say(message, status.ToString());
    delete model;
    return nullptr;
}

void close_model(void *model) { delete static_cast<SentencePieceProcessor *>(model); }

int count_pieces(const void *model) { return of(model)->GetPieceSize(); }

const char *piece(const void *model, int id, size_t *size, int *kind) {
    const std::string &text = of(model)->IdToPiece(id);
    *size = text.size();
    *kind = of(model)->IsUnknown(id)   ? PIECE_UNKNOWN
            : of(model)->IsControl(id) ? PIECE_CONTROL
            : of(model)->IsByte(id)    ? PIECE_BYTE
                                       : PIECE_TEXT;
    return text.c_str();
}

int64_t encode(const void *model, const char *text, size_t size, int32_t *ids, size_t most) {
    std::vector<int> found;
    if (!of(model)->Encode({text, size}, &found).ok() || found.size() > most) return -1;
    for (size_t i = 0; i < found.size(); i++) ids[i] = found[i];
    return static_cast<int64_t>(found.size());
}

class Lines : public sentencepiece::SentenceIterator {
  public:
    Lines(sentencepiece_line *next, void *context) : next_(next), context_(context) { Next(); }
    bool done() const override { return done_; }
    void Next() override {
        const char *line;
        size_t size;
        done_ = !next_(context_, &line, &size);
        if (!done_) value_.assign(line, size);
    }
    const std::string &value() const override { return value_; }
    sentencepiece::util::Status status() const override { return {}; }

  private:
    sentencepiece_line *next_;
    void *context_;
    std::string value_;
    bool done_ = false;
};

// Nothing of a text is lost: no normalization, no added or removed spaces, bytes for rare characters.
int train(int pieces, uint32_t seed, sentencepiece_line *next, void *context, sentencepiece_keep *keep, void *out,
          char *message) {
    Lines lines(next, context);
    std::string model;
    sentencepiece::SetRandomGeneratorSeed(seed);
    const auto status = sentencepiece::SentencePieceTrainer::Train(
        {{"model_type", "unigram"},
         {"vocab_size", std::to_string(pieces)},
         {"hard_vocab_limit", "false"},
         {"character_coverage", "0.9999"},
         {"byte_fallback", "true"},
         {"normalization_rule_name", "identity"},
         {"remove_extra_whitespaces", "false"},
         {"add_dummy_prefix", "false"},
         {"user_defined_symbols", "\n"},
         {"bos_id", "-1"},
         {"eos_id", "-1"},
         {"num_threads", "4"},
         {"minloglevel", "2"}},
        &lines, &model);
    if (status.ok()) keep(out, model.data(), model.size());
    else say(message, status.ToString());
    return status.ok() ? 0 : 1;
}

const sentencepiece_table table = {SENTENCEPIECE_VERSION, open_model, close_model, count_pieces, piece, encode, train};

} // namespace

extern "C" __attribute__((visibility("default"))) const void *perceiver_plugin() { return &table; }
