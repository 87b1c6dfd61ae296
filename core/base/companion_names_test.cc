#include "core/base/companion_names.h"

#include "gtest/gtest.h"

namespace quantized {
namespace {

TEST(CompanionNamesTest, WhatGoesWithTheWeights) {
  for (const char* path :
       {"tokenizer.json", "tokenizer.model", "tokenizer.model.v3", "tekken.json", "qwen.tiktoken",
        "chat_template.jinja", "additional_chat_templates/rag.jinja", "generation_config.json",
        "processor_config.json", "video_preprocessor_config.json", "LICENSE", "Licence.txt",
        "NOTICE", "USE_POLICY.md"}) {
    EXPECT_TRUE(IsCompanionName(path)) << path;
  }
  for (const char* path :
       {"", "config.json", "README.md", "model.safetensors", "model.safetensors.index.json",
        "pytorch_model.bin", "modeling_x.py", "mytokenizer.json", "onnx/tokenizer.json",
        "original/LICENSE", "additional_chat_templates/notes.txt",
        "additional_chat_templates/deep/rag.jinja", "additional_chat_templatesrag.jinja",
        "additional_chat_templates.jinja", "TOKENIZER.JSON"}) {
    EXPECT_FALSE(IsCompanionName(path)) << path;
  }
}

}  // namespace
}  // namespace quantized
