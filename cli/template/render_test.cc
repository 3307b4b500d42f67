#include "cli/template/render.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

using namespace mesh::cli::tmpl;

namespace {

std::string rendered(const std::string& text,
                     const std::map<std::string, std::string>& files = {}) {
  const nlohmann::json data = {{"name", "web"},      {"empty", ""},
                               {"none", nullptr},    {"count", 3},
                               {"list", {"a", "b"}}, {"map", {{"x", 1}, {"y", "two"}}}};
  const auto all = render({{"t", text}}, data, files);
  return all ? all->at("t") : "error " + all.error();
}

}  // namespace

TEST_CASE("Values are printed, and absent ones are nothing") {
  CHECK(rendered("{{ .name }}-{{ .count }}-{{ .absent }}{{ .none }}") == "web-3-");
  CHECK(rendered("{{ .map.y }}{{ $.map.x }}") == "two1");
  CHECK(rendered("{{ .absent.field }}") == "error t:1: .field of what is not there");
  CHECK(rendered("{{ .name.field }}") == "error t:1: .field of what is no map");
}

TEST_CASE("Conditions") {
  const std::string choice = "{{ if .X }}a{{ else if .name }}b{{ else }}c{{ end }}";
  CHECK(rendered(choice) == "b");
  CHECK(rendered("{{ if eq .name \"web\" }}yes{{ end }}") == "yes");
  CHECK(rendered("{{ if .empty }}a{{ else }}b{{ end }}") == "b");
  CHECK(rendered("{{ if and .name (not .empty) }}a{{ end }}") == "a");
  CHECK(rendered("{{ with .map }}{{ .y }}{{ $.name }}{{ end }}") == "twoweb");
  CHECK(rendered("{{ with .none }}a{{ else }}b{{ end }}") == "b");
}

TEST_CASE("Loops, over lists and maps") {
  CHECK(rendered("{{ range .list }}<{{ . }}>{{ end }}") == "<a><b>");
  CHECK(rendered("{{ range $i, $v := .list }}{{ $i }}{{ $v }}{{ end }}") == "0a1b");
  CHECK(rendered("{{ range $k, $v := .map }}{{ $k }}={{ $v }};{{ end }}") == "x=1;y=two;");
  CHECK(rendered("{{ range .none }}a{{ else }}b{{ end }}") == "b");
  CHECK(rendered("{{ range .name }}a{{ end }}") == "error t:1: range over what is no list or map");
}

TEST_CASE("Variables live as long as their block") {
  CHECK(rendered("{{ $x := .name }}{{ if true }}{{ $x = \"db\" }}{{ end }}{{ $x }}") == "db");
  CHECK(rendered("{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}") ==
        "error t:1: variable $x is not declared");
}

TEST_CASE("Definitions take their data, and are not printed where they stand") {
  CHECK(rendered("{{ define \"d\" }}<{{ . }}>{{ end }}a{{ include \"d\" .name }}") == "a<web>");
  CHECK(rendered("{{ include \"absent\" . }}") == "error t:1: there is no \"absent\"");
  CHECK(rendered("{{ define \"d\" }}{{ include \"d\" . }}{{ end }}{{ include \"d\" . }}")
            .ends_with("too many includes within each other"));
}

TEST_CASE("Files of the chart") {
  CHECK(rendered("{{ .Files.Get \"f\" | trim }}", {{"f", " text\n"}}) == "text");
  CHECK(rendered("{{ .Files.Get \"g\" }}") == "error t:1: there is no file g");
}

TEST_CASE("What is not known is an error, never text") {
  for (const char* text :
       {"{{ lookup \"v1\" }}", "{{ template \"d\" }}", "{{ .name .count }}", "{{ if .name }}",
        "{{ end }}", "{{ else }}", "{{ .name | }}", "{{ (.name }}", "{{ }}", "{{ quote }}",
        "{{ define d }}{{ end }}", "{{ .name ) }}", "{{ break }}"}) {
    CAPTURE(text);
    CHECK(rendered(text).starts_with("error t:1"));
  }
}
