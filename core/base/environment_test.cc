#include "core/base/environment.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;

TEST(WithoutSecretsTest, DropsVariablesWhoseNamesSpeakOfSecrets) {
  std::vector<std::string> variables = {
      "PATH=/bin",        "HF_TOKEN=x",     "HUGGING_FACE_HUB_TOKEN=x",
      "hf_token=x",       "PGPASSWORD=x",   "AWS_SECRET_ACCESS_KEY=x",
      "OPENAI_API_KEY=x", "LANG=TOKEN",     "LD_PRELOAD=/lib/shim.so",
      "EMPTY=",           "NO_EQUALS_SIGN", "CUDA_VISIBLE_DEVICES=0"};
  std::vector<char*> environment;
  for (std::string& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);
  EXPECT_THAT(WithoutSecrets(environment.data()),
              ElementsAre("PATH=/bin", "LANG=TOKEN", "LD_PRELOAD=/lib/shim.so",
                          "EMPTY=", "NO_EQUALS_SIGN", "CUDA_VISIBLE_DEVICES=0"));
}

}  // namespace
}  // namespace quantized
