#include "core/hf/chat_template/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/str_cat.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::quantized::testing::GoldenDir;
using ::quantized::testing::TempDir;
using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

const Json kNoMessages = Json::array();

absl::StatusOr<std::string> Render(std::string_view source, const Json& messages = kNoMessages,
                                   const TemplateTokens& tokens = {}) {
  auto renderer = ChatRenderer::Create(source, tokens);
  if (!renderer.ok()) return renderer.status();
  return renderer->Render(messages, /*add_generation_prompt=*/false);
}

std::string Refusal(std::string_view source, Error error = Error::kValidationFailed) {
  const auto text = Render(source);
  EXPECT_FALSE(text.ok()) << source << " gives " << *text;
  if (text.ok()) return "";
  EXPECT_EQ(ErrorOf(text.status()), error) << text.status();
  return std::string(text.status().message());
}

// Templates of models and of ours over conversations, with what jinja2 makes of them under
// transformers' settings (chat_templates.json is written by make_chat_templates.py).
TEST(ChatTemplateTest, EqualsJinja2) {
  std::ifstream in(GoldenDir() / "chat_templates.json");
  const Json golden = Json::parse(in);
  size_t rendered = 0, refused = 0;
  for (const Json& test : golden["templates"]) {
    SCOPED_TRACE(test["name"].get<std::string>());
    TemplateTokens tokens;
    for (const auto& [name, text] : test["tokens"].items()) tokens.emplace_back(name, text);
    const auto renderer = ChatRenderer::Create(test["template"].get<std::string>(), tokens);
    ASSERT_TRUE(renderer.ok()) << renderer.status();
    ASSERT_EQ(test["expected"].size(), 2 * golden["conversations"].size());
    for (size_t i = 0; i < test["expected"].size(); ++i) {
      SCOPED_TRACE(i);
      const auto text = renderer->Render(golden["conversations"][i / 2], i % 2 == 1);
      const Json& expected = test["expected"][i];
      if (expected.is_null()) {  // jinja2 raises
        EXPECT_FALSE(text.ok()) << *text;
        ++refused;
        continue;
      }
      ASSERT_TRUE(text.ok()) << text.status();
      EXPECT_EQ(*text, expected.get<std::string>());
      ++rendered;
    }
  }
  EXPECT_EQ(rendered, 88u);
  EXPECT_EQ(refused, 10u);
}

// One construct each, over no conversation.
TEST(ChatTemplateTest, EqualsJinja2ConstructByConstruct) {
  std::ifstream in(GoldenDir() / "chat_templates.json");
  const Json golden = Json::parse(in);
  ASSERT_GE(golden["constructs"].size(), 150u);
  for (const Json& test : golden["constructs"]) {
    SCOPED_TRACE(test[0].get<std::string>());
    const auto text = Render(test[0].get<std::string>());
    if (test[1].is_null()) {  // jinja2 raises
      EXPECT_FALSE(text.ok()) << *text;
    } else if (!text.ok()) {
      ADD_FAILURE() << text.status();
    } else {
      EXPECT_EQ(*text, test[1].get<std::string>());
    }
  }
}

TEST(ChatTemplateTest, RefusesByName) {
  EXPECT_EQ(Refusal("a\n{% include 'x' %}"),
            "chat template: line 2: the tag \"include\" is not known here");
  EXPECT_EQ(Refusal("{{ 'x'|wordwrap }}"),
            "chat template: line 1: the filter \"wordwrap\" is not known here");
  EXPECT_EQ(Refusal("{{ 1 is divisibleby 3 }}"),
            "chat template: line 1: the test \"divisibleby\" is not known here");
  EXPECT_EQ(Refusal("\n\n{{ strftime_now('%Y') }}"),
            "chat template: line 3: the function \"strftime_now\" is not known here");
  EXPECT_EQ(Refusal("{{ 'x'.format(1) }}"),
            "chat template: line 1: the method \"format\" of a str is not known here");
  EXPECT_EQ(Refusal("{{ messages.append(1) }}"),
            "chat template: line 1: the method \"append\" of a list is not known here");
  EXPECT_EQ(Refusal("{{ messages }}"), "chat template: line 1: a list put out as text");
  EXPECT_EQ(Refusal("{{ messages.__class__ }}"),
            "chat template: line 1: the attribute \"__class__\"");
  EXPECT_EQ(Refusal("{{ nothing.at.all }}"),
            "chat template: line 1: \"nothing\" is undefined, so has no \"at\"");
  EXPECT_EQ(Refusal("{{ 'ä'|upper }}"), "chat template: line 1: upper of a text that is not ASCII");
  EXPECT_EQ(Refusal("{% for x in [1] recursive %}{% endfor %}"),
            "chat template: line 1: a recursive loop");
  EXPECT_EQ(Refusal("{{ 1 < 2 < 3 }}"), "chat template: line 1: a chain of comparisons");
  EXPECT_EQ(Refusal("{{ 'a' + 1 }}"), "chat template: line 1: the operator + between str and int");
  EXPECT_EQ(Refusal("{{ raise_exception('no system role') }}", Error::kInvalidArgument),
            "chat template: line 1: the template refuses the conversation: no system role");
}

TEST(ChatTemplateTest, RefusesBrokenTemplates) {
  for (const char* source : {"{{",
                             "{{ 1",
                             "{% if %}",
                             "{% if x %}",
                             "{% for %}{% endfor %}",
                             "{% endif %}",
                             "{# x",
                             "{{ 'x }}",
                             "{{ (1 }}",
                             "{{ 1) }}",
                             "{{ [1 }}",
                             "{% for x in y %}{% endif %}",
                             "{{ }}",
                             "{% %}",
                             "{{ 1 2 }}",
                             "{{ x[ }}",
                             "{{ x[1 2] }}",
                             "{{ x[1:2:3:4] }}",
                             "{{ f(a=1, 2) }}",
                             "{{ '\\ud800' }}",
                             "{{ '\\N{DASH}' }}",
                             "{{ 99999999999999999999 }}",
                             "{{ 1a }}",
                             "{{ $ }}",
                             "{% set x %}",
                             "{% macro %}",
                             "{% break %}",
                             "\xff",
                             "{% else %}",
                             "{{ not }}",
                             "{{ x | }}",
                             "{{ x is }}",
                             "{{ {1: 2} }}",
                             "{{ {'a'} }}"}) {
    SCOPED_TRACE(source);
    EXPECT_THAT(Refusal(source), HasSubstr("chat template"));
  }
}

// A dict with so many members: {'k0': 0, …}.
std::string DictOf(int members) {
  std::string text = "{";
  for (int i = 0; i < members; ++i) text += StrCat("'k", i, "': ", i, ", ");
  return text + "}";
}

TEST(ChatTemplateTest, EndsWhateverTheTemplateSays) {
  const std::string open(200, '('), close(200, ')');
  EXPECT_THAT(Refusal("{{ " + open + "1" + close + " }}"), HasSubstr("nested deeper than 100"));
  std::string plus = "1";
  for (int i = 0; i < 200; ++i) plus += "+1";
  EXPECT_THAT(Refusal("{{ " + plus + " }}"), HasSubstr("nested deeper than 100"));
  std::string ifs;
  for (int i = 0; i < 200; ++i) ifs += "{% if 1 %}";
  EXPECT_THAT(Refusal(ifs), HasSubstr("tags nested deeper than 100"));
  EXPECT_THAT(Refusal("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
              HasSubstr("macros that call each other more than 10 deep"));
  const std::string loop = "{% for a in range(99999) %}";
  EXPECT_THAT(Refusal(loop + loop + "{{ a }}{% endfor %}{% endfor %}"), HasSubstr("more work"));
  EXPECT_THAT(Refusal("{% set n = namespace(x='ab') %}{% for a in range(99) %}{% set n.x = n.x + "
                      "n.x %}{% endfor %}"),
              HasSubstr("more work"));
  // What looks through a dict pays for its size.
  const std::string dicts = "{% set d = " + DictOf(2000) + " %}{% set e = " + DictOf(2000) + " %}";
  for (const std::string use : {"d|items", "d|dictsort", "d.k1999", "d['k1999']", "d.get('k1')",
                                "d.keys()", "'k1999' in d", "d == e"}) {
    EXPECT_THAT(Refusal(dicts + loop + "{% set y = " + use + " %}{% endfor %}"),
                HasSubstr("more work"))
        << use;
  }
  EXPECT_THAT(Refusal("{% set d = " + DictOf(20000) + " %}"), HasSubstr("more work"));
  EXPECT_THAT(Refusal("{% set n = namespace(x=[1]) %}{% for a in range(99) %}{% set n.x = [n.x, "
                      "n.x] %}{% endfor %}"),
              HasSubstr("values of more than"));
  EXPECT_THAT(Refusal("{% set n = namespace(x=[]) %}{% for a in range(999) %}{% set n.x = [n.x] "
                      "%}{% endfor %}"),
              HasSubstr("nested deeper than 100 levels"));
  EXPECT_THAT(Refusal("{% set n = namespace() %}{% set n.x = n %}"),
              HasSubstr("a namespace inside a namespace"));
  EXPECT_THAT(Refusal("{% set n = namespace() %}{% set l = [n] %}"),
              HasSubstr("a namespace inside a list or a dict"));
  EXPECT_THAT(Refusal("{{ range(1000000)|length }}"), HasSubstr("a range longer than 100000"));
}

TEST(ChatTemplateTest, ReadsTheTemplateOfADirectory) {
  const TempDir dir;
  EXPECT_EQ(ErrorOf(ChatRenderer::FromDirectory(dir.path()).status()), Error::kModelNotFound);
  const auto write = [&](const char* name, std::string_view text) {
    ASSERT_TRUE(WriteFileAtomically(dir.path() / name, text).ok());
  };
  write("tokenizer_config.json", R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>"})");
  write("chat_template.jinja", "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}");
  const auto renderer = ChatRenderer::FromDirectory(dir.path());
  ASSERT_TRUE(renderer.ok()) << renderer.status();
  const Json messages = {{{"role", "user"}, {"content", "Hi"}}};
  EXPECT_EQ(renderer->Render(messages, false).value(), "<s>Hi</s>");
  write(
      "tokenizer_config.json",
      R"({"chat_template": [{"name": "tool", "template": "T"}, {"name": "default", "template": "D"}]})");
  EXPECT_EQ(ChatRenderer::FromDirectory(dir.path())->Render(messages, false).value(), "D");
}

}  // namespace
}  // namespace quantized
