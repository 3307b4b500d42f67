#include "mesh/telemetry/condition.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace mesh::telemetry {

struct Condition::Term {
  enum class Type : std::uint8_t { kText, kNumber, kDuration };
  enum class Kind : std::uint8_t {
    kConstant,  // a truth
    kHas,       // of `attribute`
    kCompare,   // `attribute`, `op`, one of `texts` (or all `texts`: "in")
    kNot,       // the term before
    kAnd,
    kOr,  // `left` and the term before
  };
  enum class Op : std::uint8_t {
    kEqual,
    kDiffers,
    kLess,
    kLessEqual,
    kMore,
    kMoreEqual,
    kIn,
    kStarts,
    kEnds,
    kContains,
  };
  Kind kind = Kind::kConstant;
  bool truth = false;
  Attribute attribute = Attribute::kPath;
  std::string header = {};
  Op op = Op::kEqual;
  Type type = Type::kText;
  std::vector<std::string> texts = {};
  std::vector<std::int64_t> numbers = {};
  std::size_t left = 0;
};

namespace {

using Term = Condition::Term;
using Kind = Term::Kind;
using Op = Term::Op;
using Type = Term::Type;

constexpr std::size_t kTextMax = 4096;
constexpr std::size_t kTermsMax = 256;
constexpr unsigned kDepthMax = 32;

struct Known {
  std::string_view name;
  Attribute attribute;
};
constexpr Known kKnown[] = {{"request.path", Attribute::kPath},
                            {"request.url_path", Attribute::kUrlPath},
                            {"request.host", Attribute::kHost},
                            {"request.scheme", Attribute::kScheme},
                            {"request.method", Attribute::kMethod},
                            {"request.useragent", Attribute::kUserAgent},
                            {"request.id", Attribute::kRequestId},
                            {"request.protocol", Attribute::kProtocol},
                            {"request.duration", Attribute::kDuration},
                            {"request.headers", Attribute::kRequestHeader},
                            {"response.code", Attribute::kResponseCode},
                            {"response.code_details", Attribute::kResponseDetails},
                            {"response.flags", Attribute::kResponseFlags},
                            {"response.grpc_status", Attribute::kGrpcStatus},
                            {"response.headers", Attribute::kResponseHeader},
                            {"xds.route_name", Attribute::kRouteName},
                            {"xds.cluster_name", Attribute::kClusterName}};

Type type_of(Attribute attribute) {
  switch (attribute) {
    case Attribute::kResponseCode:
    case Attribute::kResponseFlags:
    case Attribute::kGrpcStatus:
      return Type::kNumber;
    case Attribute::kDuration:
      return Type::kDuration;
    default:
      return Type::kText;
  }
}
bool is_header(Attribute attribute) {
  return attribute == Attribute::kRequestHeader || attribute == Attribute::kResponseHeader;
}

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

struct Literal {
  Type type = Type::kText;
  std::string text = {};
  std::int64_t value = 0;  // a number, or nanoseconds
};

// "250ms": one figure and its unit, at most a day.
std::optional<std::int64_t> nanoseconds_of(std::string_view text) {
  constexpr std::int64_t kDay = 86'400'000'000'000;
  constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {{"ns", 1},
                                                                  {"us", 1'000},
                                                                  {"ms", 1'000'000},
                                                                  {"s", 1'000'000'000},
                                                                  {"m", 60'000'000'000},
                                                                  {"h", 3'600'000'000'000}};
  std::int64_t figure = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), figure);
  if (error != std::errc() || figure < 0) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  for (const auto& [name, scale] : kUnits) {
    if (text == name && figure <= kDay / scale) return figure * scale;
  }
  return std::nullopt;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  bool run() {
    either(0);
    skip();
    if (problem_.empty() && !rest_.empty()) fail("not understood: " + near());
    return problem_.empty();
  }

  std::vector<Term> terms = {};
  const std::string& problem() const { return problem_; }

 private:
  void fail(std::string why) {
    if (problem_.empty()) problem_ = std::move(why);
  }
  bool failed() const { return !problem_.empty(); }
  std::string near() const { return "\"" + std::string(rest_.substr(0, 32)) + "\""; }

  void skip() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\t' || rest_[0] == '\n')) {
      rest_.remove_prefix(1);
    }
  }

  bool take(std::string_view token) {
    skip();
    if (!rest_.starts_with(token)) return false;
    const bool splits =
        is_word(token.back()) && rest_.size() > token.size() && is_word(rest_[token.size()]);
    if (splits) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  void need(std::string_view token) {
    if (!failed() && !take(token)) fail(std::string(token) + " is missing at " + near());
  }

  void push(Term term) {
    if (terms.size() >= kTermsMax) return fail("more than 256 terms");
    terms.push_back(std::move(term));
  }

  void either(unsigned depth) {
    both(depth);
    while (!failed() && take("||")) {
      const std::size_t left = terms.size();
      both(depth);
      push({.kind = Kind::kOr, .left = left - 1});
    }
  }

  void both(unsigned depth) {
    one(depth);
    while (!failed() && take("&&")) {
      const std::size_t left = terms.size();
      one(depth);
      push({.kind = Kind::kAnd, .left = left - 1});
    }
  }

  void one(unsigned depth) {
    if (depth >= kDepthMax) return fail("deeper than 32 levels");
    skip();
    if (!rest_.starts_with("!=") && take("!")) {
      one(depth + 1);
      return push({.kind = Kind::kNot});
    }
    if (take("(")) {
      either(depth + 1);
      return need(")");
    }
    if (take("true")) return push({.kind = Kind::kConstant, .truth = true});
    if (take("false")) return push({.kind = Kind::kConstant, .truth = false});
    Term term;
    if (take("has")) {
      need("(");
      attribute(term);
      if (is_header(term.attribute)) fail("has() of a header: say 'NAME' in request.headers");
      need(")");
      term.kind = Kind::kHas;
      return push(std::move(term));
    }
    if (at_text()) return presence();
    comparison(std::move(term));
  }

  // "'x-debug' in request.headers"
  void presence() {
    Term term{.kind = Kind::kHas, .header = lower(quoted())};
    need("in");
    name(term);
    if (!failed() && !is_header(term.attribute)) fail("a text is looked for in headers alone");
    push(std::move(term));
  }

  void attribute(Term& term) {
    name(term);
    if (failed() || !is_header(term.attribute)) return;
    need("[");
    const Literal key = literal();
    if (key.type != Type::kText) fail("a header has a name");
    term.header = lower(key.text);
    need("]");
  }

  void name(Term& term) {
    if (failed()) return;
    skip();
    std::string name = word();
    if (!rest_.empty() && rest_[0] == '.') {
      rest_.remove_prefix(1);
      name += "." + word();
    }
    const auto* found = std::ranges::find(kKnown, name, &Known::name);
    if (found == std::end(kKnown)) return fail("\"" + name.substr(0, 64) + "\" is not known here");
    term.attribute = found->attribute;
    term.type = type_of(term.attribute);
  }

  std::string word() {
    std::size_t end = 0;
    while (end < rest_.size() && is_word(rest_[end])) ++end;
    std::string text(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return text;
  }

  bool at_text() {
    skip();
    return !rest_.empty() && (rest_[0] == '\'' || rest_[0] == '"');
  }

  std::string quoted() {
    const std::size_t end = rest_.find(rest_[0], 1);
    // An escape would mean two things to two readers.
    if (end == std::string_view::npos ||
        rest_.substr(0, end).find_first_of("\\\r\n") != std::string_view::npos) {
      fail("a text that does not end, or with an escape");
      return {};
    }
    std::string text(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return text;
  }

  Literal duration() {
    need("(");
    const auto time = !failed() && at_text() ? nanoseconds_of(quoted()) : std::nullopt;
    if (!time) fail("a duration is one figure and its unit, in quotes");
    need(")");
    return {.type = Type::kDuration, .value = time.value_or(0)};
  }

  Literal literal() {
    Literal made;
    if (failed()) return made;
    if (at_text()) {
      made.text = quoted();
      return made;
    }
    if (take("duration")) return duration();
    made.type = Type::kNumber;
    const auto [end, error] =
        std::from_chars(rest_.data(), rest_.data() + rest_.size(), made.value);
    const auto length = static_cast<std::size_t>(end - rest_.data());
    const bool ends = length < rest_.size() && (is_word(rest_[length]) || rest_[length] == '.');
    if (error != std::errc() || ends) fail("not a value: " + near());
    rest_.remove_prefix(length);
    return made;
  }

  void add(const Literal& value, Term& term) {
    if (failed()) return;
    if (value.type != term.type) {
      return fail("a number, a text and a duration are not compared with each other");
    }
    term.texts.push_back(value.text);
    term.numbers.push_back(value.value);
  }

  void call(Op op, Term& term) {
    if (term.type != Type::kText) return fail("a number has no such function");
    term.op = op;
    need("(");
    add(literal(), term);
    need(")");
  }

  void comparison(Term term) {
    attribute(term);
    if (failed()) return;
    term.kind = Kind::kCompare;
    if (take(".startsWith")) {
      call(Op::kStarts, term);
    } else if (take(".endsWith")) {
      call(Op::kEnds, term);
    } else if (take(".contains")) {
      call(Op::kContains, term);
    } else if (take("in")) {
      term.op = Op::kIn;
      need("[");
      do {
        add(literal(), term);
      } while (!failed() && take(",") && term.texts.size() < kTermsMax);
      need("]");
    } else {
      operation(term);
    }
    push(std::move(term));
  }

  void operation(Term& term) {
    constexpr std::pair<std::string_view, Op> kOps[] = {
        {"==", Op::kEqual},     {"!=", Op::kDiffers}, {"<=", Op::kLessEqual},
        {">=", Op::kMoreEqual}, {"<", Op::kLess},     {">", Op::kMore}};
    for (const auto& [token, op] : kOps) {
      if (!take(token)) continue;
      term.op = op;
      return add(literal(), term);
    }
    fail("a comparison is missing at " + near());
  }

  std::string_view rest_;
  std::string problem_;
};

template <class T>
bool compare(Op op, const T& a, const std::vector<T>& with) {
  const T& b = with.front();
  switch (op) {
    case Op::kEqual:
      return a == b;
    case Op::kDiffers:
      return a != b;
    case Op::kLess:
      return a < b;
    case Op::kLessEqual:
      return a <= b;
    case Op::kMore:
      return a > b;
    case Op::kMoreEqual:
      return a >= b;
    case Op::kIn:
      return std::ranges::find(with, a) != with.end();
    default:
      return false;
  }
}

bool compare_text(const Term& term, const std::string& value) {
  const std::string& with = term.texts.front();
  if (term.op == Op::kStarts) return value.starts_with(with);
  if (term.op == Op::kEnds) return value.ends_with(with);
  if (term.op == Op::kContains) return value.find(with) != std::string::npos;
  return compare(term.op, value, term.texts);
}

enum class Truth : std::uint8_t { kNo, kYes, kNeither };

Truth truth(bool holds) { return holds ? Truth::kYes : Truth::kNo; }

Truth of_comparison(const Term& term, const Condition::Lookup& lookup) {
  const auto value = lookup(term.attribute, term.header);
  if (term.kind == Kind::kHas) return truth(value.has_value());
  if (!value) return Truth::kNeither;
  if (term.type == Type::kText) return truth(compare_text(term, *value));
  std::int64_t number = 0;
  const char* const end = value->data() + value->size();
  const auto [last, error] = std::from_chars(value->data(), end, number);
  if (error != std::errc() || last != end) return Truth::kNeither;
  return truth(compare(term.op, number, term.numbers));
}

// One that decides does so whatever the other is.
Truth joined(Truth a, Truth b, Truth decides) {
  if (a == decides || b == decides) return decides;
  return a == Truth::kNeither || b == Truth::kNeither ? Truth::kNeither : a;
}

}  // namespace

std::optional<Condition> Condition::parse(std::string_view text, std::string& problem) {
  if (text.size() > kTextMax) {
    problem = "longer than 4096 bytes";
    return std::nullopt;
  }
  Parser parser(text);
  if (!parser.run()) {
    problem = parser.problem();
    return std::nullopt;
  }
  Condition made;
  made.terms_ = std::make_shared<const std::vector<Term>>(std::move(parser.terms));
  return made;
}

bool Condition::holds(const Lookup& lookup) const {
  if (terms_ == nullptr || terms_->empty()) return true;
  std::vector<Truth> found(terms_->size(), Truth::kNo);
  for (std::size_t i = 0; i < terms_->size(); ++i) {
    const Term& term = (*terms_)[i];
    switch (term.kind) {
      case Kind::kConstant:
        found[i] = truth(term.truth);
        break;
      case Kind::kNot:
        found[i] =
            found[i - 1] == Truth::kNeither ? Truth::kNeither : truth(found[i - 1] == Truth::kNo);
        break;
      case Kind::kAnd:
        found[i] = joined(found[term.left], found[i - 1], Truth::kNo);
        break;
      case Kind::kOr:
        found[i] = joined(found[term.left], found[i - 1], Truth::kYes);
        break;
      default:
        found[i] = of_comparison(term, lookup);
    }
  }
  return found.back() == Truth::kYes;
}

}  // namespace mesh::telemetry
