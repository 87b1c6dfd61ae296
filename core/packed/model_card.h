// The README.md of a quantized checkpoint: front matter that the Hugging Face hub reads, then what
// was done to which model. A pure function of its arguments: no date, no machine.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/packed/checkpoint_config.h"
#include "core/packed/loader_notes.h"

namespace quantized {

struct CardFacts {
  std::string title;       // "Llama-3.2-1B-Instruct"
  std::string base_model;  // its id on the hub; empty where it has none
  PackedOptions options;
  std::string calibration;  // the data, in words; empty: none was used
  // A row of a table: what the measure is called, and its value.
  struct Measure {
    std::string name, value;
  };
  std::vector<Measure> quality;     // may be empty
  std::vector<LoaderNote> loaders;  // may be empty
};

// `source_card` is the README.md of the source, which may be empty: licence, languages, kind of
// model and tags, but those of a format or a number of bits, are kept from it, and base_model where
// `facts` has none. Of a conversion it says nothing on how codes were chosen.
std::string ModelCard(std::string_view source_card, const CardFacts& facts);

}  // namespace quantized
