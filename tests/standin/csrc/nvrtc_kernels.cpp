// CUDA's own words, rewritten for a host compiler. Works on preprocessed text: no comments, no macros, and only the
// kernels that the program really has. Start at rewrite_kernels.
#include <cctype>

#include "nvrtc.h"

namespace cuda_on_cpu::nvrtc {
namespace {

struct Token {
  size_t begin, end;
  std::string text;
};

// Identifiers, literals, and single characters; line markers of the preprocessor are skipped.
std::vector<Token> tokenize(const std::string& text) {
  std::vector<Token> tokens;
  bool line_start = true;
  for (size_t i = 0; i < text.size();) {
    const unsigned char c = text[i];
    if (c == '\n') line_start = true;
    if (std::isspace(c)) {
      i++;
      continue;
    }
    const size_t begin = i;
    if (line_start && c == '#') {
      while (i < text.size() && text[i] != '\n') i++;
      continue;
    }
    line_start = false;
    if (c == '"' || c == '\'') {
      for (i++; i < text.size() && static_cast<unsigned char>(text[i]) != c; i++)
        if (text[i] == '\\') i++;
      i++;
    } else if (std::isalnum(c) || c == '_') {
      // A digit separator, as in 1'000, belongs to the number.
      while (i < text.size() && (std::isalnum(static_cast<unsigned char>(text[i])) || text[i] == '_' ||
                                 (std::isdigit(c) && text[i] == '\'')))
        i++;
    } else {
      i++;
    }
    tokens.push_back({begin, i, text.substr(begin, i - begin)});
  }
  return tokens;
}

struct Found {
  std::string name, threads;
};

struct Scope {
  bool extern_c;
  std::string kernel;  // whose body it is or lies in; empty outside of kernels
  bool comdat;  // a template, an inline function or a class: compilers ignore or refuse a section for its variables
};

std::string section_of(const std::string& kernel) {
  return kernel.empty() ? "cuda_on_cpu_shared" : "cuda_on_cpu_shared_" + kernel;
}

class Rewriter {
 public:
  // With `own_sections` each kernel's variables have a section of their own.
  Rewriter(const std::string& text, bool own_sections)
      : text_(text), tokens_(tokenize(text)), own_sections_(own_sections) {}

  std::string rewrite() {
    for (size_t i = 0; i < tokens_.size(); i++) {
      const std::string& t = tokens_[i].text;
      if (t == "{") {
        const std::string around = scopes_.empty() ? "" : scopes_.back().kernel;
        scopes_.push_back({i > 1 && at(i - 1) == "\"C\"" && at(i - 2) == "extern", i == body_ ? kernels.back().name : around,
                           opens_comdat(i)});
      } else if (t == "}") {
        if (!scopes_.empty()) scopes_.pop_back();
      } else if (t == "__launch_bounds__" && at(i + 1) == "(") {
        const size_t close = matching(i + 1);
        bounds_ = first_argument(i + 1, close);
        replace(i, close, "");
      } else if (t == "__global__") {
        replace(i, i, "");
        kernel(i);
      } else if (t == "__shared__") {
        shared(i);
      }
      if (t == ";" || t == "{") bounds_ = "0";
    }
    output_ += text_.substr(copied_);
    return output_;
  }

  std::vector<Found> kernels;
  bool shares_outside = false;  // a __shared__ variable stands in a function that kernels call, or in none

 private:
  const std::string& at(size_t i) const {
    static const std::string none;
    return i < tokens_.size() ? tokens_[i].text : none;
  }

  // The token that closes the parenthesis at `open`.
  size_t matching(size_t open) const {
    int depth = 0;
    for (size_t i = open; i < tokens_.size(); i++) {
      if (at(i) == "(") depth++;
      if (at(i) == ")" && --depth == 0) return i;
    }
    return tokens_.size() - 1;
  }

  std::string first_argument(size_t open, size_t close) const {
    int depth = 0;
    size_t end = open + 1;
    for (; end < close; end++) {
      if (at(end) == "(" || at(end) == "<" || at(end) == "{") depth++;
      if (at(end) == ")" || at(end) == ">" || at(end) == "}") depth--;
      if (depth == 0 && at(end) == ",") break;
    }
    return text_.substr(tokens_[open].end, tokens_[end].begin - tokens_[open].end);
  }

  // Tokens first..last become `with`, and as many lines as they had.
  void replace(size_t first, size_t last, const std::string& with) {
    if (tokens_[first].begin < copied_) return;  // inside of something replaced already
    output_ += text_.substr(copied_, tokens_[first].begin - copied_) + with;
    for (size_t i = tokens_[first].begin; i < tokens_[last].end; i++)
      if (text_[i] == '\n') output_ += '\n';
    copied_ = tokens_[last].end;
  }

  bool is_extern_c(size_t global) const {
    for (const Scope& scope : scopes_)
      if (scope.extern_c) return true;
    for (size_t i = global; i-- > 0 && at(i) != ";" && at(i) != "}" && at(i) != "{";)
      if (at(i) == "\"C\"" && i > 0 && at(i - 1) == "extern") return true;
    return false;
  }

  bool opens_comdat(size_t brace) const {
    const bool is_function = brace > 0 && at(brace - 1) == ")";  // whose parameters may say `struct`
    for (size_t i = brace; i-- > 0 && at(i) != ";" && at(i) != "}" && at(i) != "{";) {
      if (at(i) == "template" || at(i) == "inline") return true;
      if (!is_function && (at(i) == "struct" || at(i) == "class")) return true;
    }
    return false;
  }

  void kernel(size_t global) {
    std::string threads = bounds_;  // __launch_bounds__ may stand before or behind __global__
    for (size_t i = global + 1; i < tokens_.size() && at(i) != ";" && at(i) != "{"; i++) {
      if (at(i + 1) != "(") continue;
      const size_t close = matching(i + 1);
      if (at(i) == "__launch_bounds__") {
        threads = first_argument(i + 1, close);
      } else if (at(i) != "__attribute__" && at(i) != "alignas") {
        if (at(close + 1) == "{" && is_extern_c(global)) {
          kernels.push_back({at(i), threads});
          body_ = close + 1;
        }
        return;
      }
      i = close;
    }
  }

  void shared(size_t i) {
    const std::string owner = scopes_.empty() ? "" : scopes_.back().kernel;
    std::string section = "static __attribute__((section(\"" + section_of(own_sections_ ? owner : "") + "\"), used))";
    if (i > 0 && at(i - 1) == "extern") return dynamic_shared(i - 1, i + 1);
    if (at(i + 1) == "extern") return dynamic_shared(i, i + 2);
    shares_outside |= owner.empty();
    for (const Scope& scope : scopes_)
      if (scope.comdat)
        return replace(
            i, i,
            "static_assert(sizeof(int) == 0, \"__shared__ in a template or an inline function is not supported: "
            "declare it in the kernel or in a plain __device__ function\"); " +
                section);
    if (i > 0 && at(i - 1) == "static") return replace(i, i, section.substr(7));
    if (at(i + 1) == "alignas") {  // must come before `static`
      const size_t close = matching(i + 2);
      return replace(i, close,
                     text_.substr(tokens_[i + 1].begin, tokens_[close].end - tokens_[i + 1].begin) + " " + section);
    }
    replace(i, i, section);
  }

  // `extern __shared__ T name[];` becomes a pointer. The statement before it keeps it inside of functions, where the
  // block that it belongs to is known.
  void dynamic_shared(size_t first, size_t i) {
    std::string type;
    std::string name;
    size_t end = i;
    while (end < tokens_.size() && at(end) != ";") end++;
    for (; i < end && at(i) != "["; i++) {
      if (at(i) == "alignas" || at(i) == "__attribute__") {
        i = matching(i + 1);
        continue;
      }
      type += name + " ";
      name = at(i);
    }
    replace(first, end,
            "(void)0; " + type + "* const " + name + " = static_cast<" + type +
                "*>(::cuda_on_cpu::services->dynamic_shared());");
  }

  const std::string& text_;
  const std::vector<Token> tokens_;
  const bool own_sections_;
  size_t body_ = 0;            // the brace that opens the body of the last kernel
  std::vector<Scope> scopes_;  // of open braces
  std::string bounds_ = "0";
  std::string output_;
  size_t copied_ = 0;
};

}  // namespace

std::string rewrite_kernels(const std::string& preprocessed, std::vector<std::string>* kernels) {
  // What a kernel has for itself need not be copied when blocks of another one take turns.
  Rewriter rewriter(preprocessed, true);
  std::string rewritten = rewriter.rewrite();
  const bool own_sections = !rewriter.shares_outside;
  if (!own_sections) rewritten = Rewriter(preprocessed, false).rewrite();
  std::string out = rewritten + "\n# 1 \"records of the kernels\"\nextern \"C\" {\n";
  for (const Found& kernel : rewriter.kernels) {
    kernels->push_back(kernel.name);
    const std::string& k = kernel.name;
    out += "static void cuda_on_cpu_body_" + k + "(void** args) { ::cuda_on_cpu::call(&" + k + ", args); }\n";
    out += "static ::cuda_on_cpu::usize cuda_on_cpu_size_" + k + "(unsigned i) {\n";
    out += "  return ::cuda_on_cpu::argument_size(&" + k + ", i);\n}\n";
    const std::string section = section_of(own_sections ? k : "");
    // The linker's names; null if there is no such variable.
    for (const char* name : {"__start_", "__stop_"})
      out += "extern unsigned char " + (name + section) + "[] __attribute__((weak, visibility(\"hidden\")));\n";
    out += "__attribute__((visibility(\"default\"), used)) ::cuda_on_cpu::Kernel cuda_on_cpu_kernel_" + k + " = {\n";
    out += "  \"" + k + "\", cuda_on_cpu_body_" + k + ", cuda_on_cpu_size_" + k + ", (" + kernel.threads + "),\n";
    out += "  __start_" + section + ", __stop_" + section + ", __ehdr_start, _end};\n";
  }
  return out + "}\n";
}

}  // namespace cuda_on_cpu::nvrtc
