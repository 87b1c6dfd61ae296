// What a person sees on stderr, read back from a pipe or a pseudo-terminal.
#include "client/render/job_display.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "core/base/error.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using TimePoint = JobDisplay::TimePoint;

v1::JobEvent Phase(v1::Phase phase) {
  v1::JobEvent event;
  event.mutable_phase()->set_phase(phase);
  return event;
}

v1::JobEvent Line(const std::string& line) {
  v1::JobEvent event;
  event.mutable_message()->set_line(line);
  return event;
}

v1::JobEvent Done(uint64_t done, uint64_t total, double elapsed_seconds) {
  v1::JobEvent event;
  event.set_ephemeral(true);
  event.mutable_progress()->set_done(done);
  event.mutable_progress()->set_total(total);
  event.mutable_progress()->set_unit("layers");
  event.mutable_progress()->set_elapsed_seconds(elapsed_seconds);
  return event;
}

v1::JobEvent Finished(v1::Job::State state) {
  v1::JobEvent event;
  event.mutable_finished()->set_state(state);
  return event;
}

class JobDisplayTest : public ::testing::Test {
 protected:
  // What is written to stderr while `play` runs.
  std::string Play(const OutputOptions& options,
                   const std::function<void(JobDisplay&, TimePoint)>& play) {
    const std::filesystem::path path = dir_.path() / "stderr";
    FILE* file = std::fopen(path.c_str(), "w");
    {
      Output output(/*out_fd=*/-1, fileno(file), options, {{"LANG", "C.UTF-8"}});
      JobDisplay display(output);
      play(display, TimePoint());
    }
    std::fclose(file);
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  testing::TempDir dir_;
};

TEST_F(JobDisplayTest, TellsAJobInTheContractsLines) {
  const std::string text = Play({}, [](JobDisplay& display, TimePoint now) {
    display.OnEvent(Phase(v1::PROBE), now);
    display.OnEvent(Line("Loading model: meta-llama/Llama-2-7b-hf"), now);
    display.OnEvent(Line("Architecture: LlamaForCausalLM (32 layers)"), now);
    display.OnEvent(Phase(v1::QUANTIZE), now);
    display.OnEvent(Line("Quantizing to GGUF Q4_K_M"), now);
    display.OnEvent(Done(32, 32, 923), now);
    display.OnEvent(Phase(v1::VALIDATE), now);
    display.OnEvent(Line("Validating output..."), now);
    display.OnEvent(Finished(v1::Job::SUCCEEDED), now);
  });
  EXPECT_EQ(text,
            "[llm-quantize] Loading model: meta-llama/Llama-2-7b-hf\n"
            "[llm-quantize] Architecture: LlamaForCausalLM (32 layers)\n"
            "[llm-quantize] Quantizing to GGUF Q4_K_M\n"
            "Quantizing ━━━━━━━━━━━━━━━━━━━━ 100% 32/32 layers [15:23 elapsed]\n"
            "[llm-quantize] Validating output...\n");
}

TEST_F(JobDisplayTest, EachPhaseThatCountsLayersHasItsName) {
  const std::string text = Play({}, [](JobDisplay& display, TimePoint now) {
    for (const v1::Phase phase : {v1::CALIBRATE, v1::LOAD, v1::QUANTIZE, v1::ASSESS}) {
      display.OnEvent(Phase(phase), now);
      display.OnEvent(Done(2, 2, 1), now);
    }
    display.OnEvent(Finished(v1::Job::SUCCEEDED), now);
  });
  EXPECT_EQ(text,
            "Calibrating ━━━━━━━━━━━━━━━━━━━━ 100% 2/2 layers [00:01 elapsed]\n"
            "Quantizing ━━━━━━━━━━━━━━━━━━━━ 100% 2/2 layers [00:01 elapsed]\n"
            "Assessing ━━━━━━━━━━━━━━━━━━━━ 100% 2/2 layers [00:01 elapsed]\n");
}

TEST_F(JobDisplayTest, ADownloadTellsItsRateAndTheTimeLeft) {
  const std::string text = Play({}, [](JobDisplay& display, TimePoint now) {
    const auto fetched = [](uint64_t megabytes, double elapsed_seconds) {
      v1::JobEvent event = Done(megabytes * 1'000'000, 100'000'000, elapsed_seconds);
      event.mutable_progress()->set_unit("bytes");
      return event;
    };
    display.OnEvent(Phase(v1::FETCH), now);
    display.OnEvent(Line("Downloading model: org/name"), now);
    display.OnEvent(fetched(40, 100), now);  // a killed attempt left that much
    display.OnEvent(fetched(60, 110), now);
    display.OnEvent(Phase(v1::PROBE), now);
    display.OnEvent(Phase(v1::QUANTIZE), now);
    display.OnEvent(Done(2, 2, 130), now);
    display.OnEvent(Finished(v1::Job::SUCCEEDED), now);
  });
  EXPECT_EQ(text,
            "[llm-quantize] Downloading model: org/name\n"
            "Downloading ━━━━━━━━──────────── 40% 40.0 MB/100.0 MB [01:40 elapsed]\n"
            "Downloading ━━━━━━━━━━━━──────── 60% 60.0 MB/100.0 MB 2.0 MB/s "
            "[01:50 elapsed, 00:20 left]\n"
            "Downloading ━━━━━━━━━━━━━━━━━━━━ 100% 100.0 MB/100.0 MB [01:50 elapsed]\n"
            "Quantizing ━━━━━━━━━━━━━━━━━━━━ 100% 2/2 layers [02:10 elapsed]\n");
}

TEST_F(JobDisplayTest, PlainProgressComesInStepsAndAfterPauses) {
  const std::string text = Play({}, [](JobDisplay& display, TimePoint now) {
    display.OnEvent(Phase(v1::QUANTIZE), now);
    for (uint64_t done = 0; done <= 11; ++done) display.OnEvent(Done(done, 200, 0), now);
    display.OnEvent(Done(12, 200, 30), now + seconds(30));
    display.OnEvent(Done(13, 200, 31), now + seconds(31));
  });
  EXPECT_EQ(text,
            "Quantizing ━─────────────────── 5% 10/200 layers [00:00 elapsed]\n"
            "Quantizing ━─────────────────── 6% 12/200 layers [00:30 elapsed]\n");
}

TEST_F(JobDisplayTest, ProgressThatArrivesAfterItsPhaseIsNotShown) {
  const std::string text = Play({}, [](JobDisplay& display, TimePoint now) {
    display.OnEvent(Phase(v1::QUANTIZE), now);
    display.OnEvent(Done(1, 2, 5), now);
    display.OnEvent(Phase(v1::VALIDATE), now);
    display.OnEvent(Done(2, 2, 5), now);
    display.OnEvent(Phase(v1::PUBLISH), now);
    display.OnEvent(Finished(v1::Job::SUCCEEDED), now);
  });
  EXPECT_EQ(text,
            "Quantizing ━━━━━━━━━━────────── 50% 1/2 layers [00:05 elapsed]\n"
            "Quantizing ━━━━━━━━━━━━━━━━━━━━ 100% 2/2 layers [00:05 elapsed]\n");
}

TEST_F(JobDisplayTest, ThePhaseIsCompletedWhereItsLastProgressWasLost) {
  const std::string text = Play({}, [](JobDisplay& display, TimePoint now) {
    display.OnEvent(Phase(v1::QUANTIZE), now);
    display.OnEvent(Done(31, 32, 5), now);
    display.OnEvent(Phase(v1::VALIDATE), now);
  });
  EXPECT_THAT(text, HasSubstr(" 100% 32/32 layers [00:05 elapsed]\n"));
}

TEST_F(JobDisplayTest, ALaterAttemptDoesNotRepeatLines) {
  const std::string text = Play({}, [](JobDisplay& display, TimePoint now) {
    display.OnEvent(Line("Loading model: m"), now);
    v1::JobEvent again;
    again.set_attempt(1);
    again.mutable_state()->set_to(v1::Job::PENDING);
    again.mutable_state()->set_reason("DAEMON_RESTARTED");
    display.OnEvent(again, now);
    display.OnEvent(Line("Loading model: m"), now);
    display.OnEvent(Line("Reusing 7 tensors"), now);
  });
  EXPECT_EQ(text,
            "[llm-quantize] Loading model: m\n"
            "[llm-quantize] Attempt 1 ended (DAEMON_RESTARTED); the job runs again\n"
            "[llm-quantize] Reusing 7 tensors\n");
}

TEST_F(JobDisplayTest, ALaterAttemptBeginsItsProgressAnew) {
  const std::string text = Play({}, [](JobDisplay& display, TimePoint now) {
    display.OnEvent(Phase(v1::QUANTIZE), now);
    display.OnEvent(Done(1, 2, 5), now);
    v1::JobEvent again;
    again.set_attempt(1);
    again.mutable_state()->set_to(v1::Job::PENDING);
    again.mutable_state()->set_reason("DAEMON_RESTARTED");
    display.OnEvent(again, now);
    v1::JobEvent snapshot;
    snapshot.mutable_snapshot()->mutable_job()->set_phase(v1::PROBE);
    display.OnEvent(snapshot, now);
    display.OnEvent(Phase(v1::LOAD), now);
    display.OnEvent(Phase(v1::QUANTIZE), now);
    display.OnEvent(Done(1, 2, 6), now);
  });
  EXPECT_EQ(text,
            "Quantizing ━━━━━━━━━━────────── 50% 1/2 layers [00:05 elapsed]\n"
            "[llm-quantize] Attempt 1 ended (DAEMON_RESTARTED); the job runs again\n"
            "Quantizing ━━━━━━━━━━────────── 50% 1/2 layers [00:06 elapsed]\n");
}

TEST_F(JobDisplayTest, OnlyALongWaitIsTold) {
  v1::Job job;
  job.set_id("JOB");
  job.set_state(v1::Job::PENDING);
  job.set_queue_position(3);
  const std::string text = Play({}, [&](JobDisplay& display, TimePoint now) {
    display.OnJob(job, now);
    display.Tick(now);
    display.Tick(now + seconds(1));
    display.Tick(now + seconds(2));
  });
  EXPECT_EQ(text, "[llm-quantize] Waiting in the queue (position 3)\n");
}

TEST_F(JobDisplayTest, QuietShowsNothingAndJsonShowsObjects) {
  const auto play = [](JobDisplay& display, TimePoint now) {
    display.OnEvent(Phase(v1::QUANTIZE), now);
    display.OnEvent(Line("Quantizing to GGUF Q8_0"), now);
    display.OnEvent(Done(1, 2, 1), now);
  };
  EXPECT_EQ(Play({.verbosity = Verbosity::kQuiet}, play), "");
  EXPECT_EQ(Play({.progress = ProgressMode::kJson}, play),
            "{\"event\":\"message\",\"message\":\"Quantizing to GGUF Q8_0\"}\n"
            "{\"event\":\"progress\",\"label\":\"Quantizing\",\"done\":1,\"total\":2,"
            "\"unit\":\"layers\",\"percent\":50,\"elapsed_seconds\":1.0}\n");
  EXPECT_EQ(Play({.progress = ProgressMode::kNone}, play),
            "[llm-quantize] Quantizing to GGUF Q8_0\n");
}

TEST_F(JobDisplayTest, ATerminalsLineIsRedrawnBelowTheOthers) {
  const std::string text =
      Play({.progress = ProgressMode::kTty}, [](JobDisplay& display, TimePoint now) {
        display.OnEvent(Phase(v1::QUANTIZE), now);
        display.OnEvent(Done(16, 32, 0), now);
        display.OnEvent(Line("a line between"), now);
        display.Tick(now + seconds(2));
        display.OnEvent(Finished(v1::Job::SUCCEEDED), now + seconds(3));
      });
  const std::string erase = "\r\x1b[K";
  const std::string half = "Quantizing ━━━━━━━━━━────────── 50% 16/32 layers ";
  EXPECT_EQ(text, erase + half + "[00:00 elapsed]" + erase + "[llm-quantize] a line between\n" +
                      erase + half + "[00:00 elapsed]" + erase + half + "[00:02 elapsed]" + erase +
                      "Quantizing ━━━━━━━━━━━━━━━━━━━━ 100% 32/32 layers [00:03 elapsed]" + erase +
                      "Quantizing ━━━━━━━━━━━━━━━━━━━━ 100% 32/32 layers [00:03 elapsed]\n");
}

TEST_F(JobDisplayTest, TextFromOutsideCannotSteerTheTerminal) {
  const std::string text = Play({}, [](JobDisplay& display, TimePoint now) {
    display.OnEvent(Line("evil\x1b[2J\nline"), now);
  });
  EXPECT_EQ(text, "[llm-quantize] evil[2J line\n");
}

}  // namespace
}  // namespace quantized
