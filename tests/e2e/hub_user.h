// A user whose Hugging Face Hub is one on the loopback, with a small model in it.
#pragma once

#include <string>
#include <vector>

#include "tests/support/hf_models.h"
#include "tests/support/hub_server.h"
#include "tests/support/sandbox.h"

namespace quantized::testing {

class HubUser {
 public:
  // The Hub's model: the files of TinyModel.
  static constexpr char kModel[] = "me/tiny";

  HubUser() {
    std::filesystem::create_directory(sandbox.path() / "tmp");
    server.Add(Model());
  }

  static HubRepository Model() {
    HubRepository model{.name = kModel};
    model.AddFolder(TinyModel());
    return model;
  }

  ProcessOptions options() const {
    ProcessOptions options = sandbox.options();
    options.environment["HF_ENDPOINT"] = server.endpoint();
    options.environment["TMPDIR"] = sandbox.path() / "tmp";
    return options;
  }
  ProcessResult Run(const std::vector<std::string>& arguments) const {
    return RunProcess(Sandbox::Command(arguments), options());
  }

  // Where this user's models are kept.
  std::filesystem::path cache() const { return sandbox.path() / "home/.cache/llm-quantize/hub"; }

  Sandbox sandbox;
  HubServer server;
};

}  // namespace quantized::testing
