#include "mesh/telemetry/condition.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace mesh::telemetry {

struct Condition::Term {
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
  bool is_number = false;
  std::vector<std::string> texts = {};
  std::vector<std::int64_t> numbers = {};
  std::size_t left = 0;
};

namespace {

using Term = Condition::Term;
using Kind = Term::Kind;
using Op = Term::Op;

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
                            {"request.headers", Attribute::kRequestHeader},
                            {"response.code", Attribute::kResponseCode},
                            {"response.code_details", Attribute::kResponseDetails},
                            {"response.grpc_status", Attribute::kGrpcStatus},
                            {"response.headers", Attribute::kResponseHeader},
                            {"xds.route_name", Attribute::kRouteName},
                            {"xds.cluster_name", Attribute::kClusterName}};

bool is_number(Attribute attribute) {
  return attribute == Attribute::kResponseCode || attribute == Attribute::kGrpcStatus;
}
bool is_header(Attribute attribute) {
  return attribute == Attribute::kRequestHeader || attribute == Attribute::kResponseHeader;
}

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// A literal: a text or a number.
struct Literal {
  bool number = false;
  std::string text = {};
  std::int64_t value = 0;
};

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
      need(")");
      term.kind = Kind::kHas;
      return push(std::move(term));
    }
    comparison(std::move(term));
  }

  void attribute(Term& term) {
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
    term.is_number = is_number(term.attribute);
    if (!is_header(term.attribute)) return;
    need("[");
    const Literal key = literal();
    if (key.number) fail("a header has a name");
    term.header = key.text;
    std::ranges::transform(term.header, term.header.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    need("]");
  }

  std::string word() {
    std::size_t end = 0;
    while (end < rest_.size() && is_word(rest_[end])) ++end;
    std::string text(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return text;
  }

  Literal literal() {
    Literal made;
    skip();
    if (failed() || rest_.empty()) {
      fail("a value is missing");
      return made;
    }
    const char quote = rest_[0];
    if (quote == '\'' || quote == '"') {
      const std::size_t end = rest_.find(quote, 1);
      // An escape would mean two things to two readers.
      if (end == std::string_view::npos ||
          rest_.substr(0, end).find_first_of("\\\r\n") != std::string_view::npos) {
        fail("a text that does not end, or with an escape");
        return made;
      }
      made.text = rest_.substr(1, end - 1);
      rest_.remove_prefix(end + 1);
      return made;
    }
    made.number = true;
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
    if (value.number != term.is_number) return fail("a number is compared with a text");
    term.texts.push_back(value.text);
    term.numbers.push_back(value.value);
  }

  void call(Op op, Term& term) {
    if (term.is_number) return fail("a number has no such function");
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
  if (!term.is_number) return truth(compare_text(term, *value));
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
