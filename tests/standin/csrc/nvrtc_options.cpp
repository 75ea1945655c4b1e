// NVRTC's command line. What changes the result of a kernel is obeyed, what only changes its speed or its debug
// information is accepted, what NVRTC would refuse is refused.
#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <set>

#include "nvrtc.h"

namespace cuda_on_cpu::nvrtc {
namespace {

// clang-format off
// Without a value, accepted and of no effect here.
const std::set<std::string> kFlags = {
    "device-c", "dc", "device-w", "dw", "extensible-whole-program", "ewp", "device-debug", "G", "generate-line-info",
    "lineinfo", "extra-device-vectorization", "dlink-time-opt", "dlto", "gen-opt-lto", "no-cache", "no-source-include",
    "pch", "disable-warnings", "w", "Wreorder", "restrict", "device-as-default-execution-space", "default-device",
    "device-int128", "device-float128", "display-error-number", "err-no", "no-display-error-number", "no-err-no",
    "minimal", "device-stack-protector"};
// With a value. The first three change results on a GPU, but not here: arithmetic is IEEE, subnormals are kept.
const std::set<std::string> kValued = {
    "ftz", "prec-sqrt", "prec-div", "relocatable-device-code", "rdc", "dopt", "Ofast-compile", "Ofc", "ptxas-options",
    "Xptxas", "maxrregcount", "modify-stack-limit", "jump-table-density", "jtd", "frandom-seed", "builtin-move-forward",
    "builtin-initializer-list", "pch-dir", "warning-as-error", "Werror", "optimization-info", "opt-info", "diag-error",
    "diag-suppress", "diag-warn", "brief-diagnostics", "time", "split-compile", "fdevice-time-trace", "version-ident",
    "device-stack-protector"};
// clang-format on

bool parse_architecture(const std::string& value, Options* out, std::string* log) {
  const bool real = value.rfind("sm_", 0) == 0, virtual_ = value.rfind("compute_", 0) == 0;
  std::string digits = real ? value.substr(3) : virtual_ ? value.substr(8) : "";
  int number = std::atoi(digits.c_str());
  if (number >= 90 && (digits.back() == 'a' || digits.back() == 'f')) digits.pop_back();  // sm_90a
  if (digits != std::to_string(number)) number = 0;
  const bool known =
      std::find(std::begin(kArchitectures), std::end(kArchitectures), number) != std::end(kArchitectures);
  if (!known) {
    *log = "nvrtc: error: invalid value for --gpu-architecture (-arch): " + value + "\n";
    return false;
  }
  out->architecture = number;
  out->is_cubin = real;
  return true;
}

}  // namespace

bool parse_options(int count, const char* const* given, Options* out, std::string* log) {
  bool has_standard = false;
  for (int i = 0; i < count; i++) {
    const std::string whole = given[i];
    const auto refuse = [&] {
      *log = "nvrtc: error: unrecognized option " + whole + " found\n";
      return false;
    };
    if (whole.size() < 2 || whole[0] != '-') return refuse();
    std::string option = whole.substr(whole[1] == '-' ? 2 : 1);
    // -DX and -IX have no separator.
    if (whole[1] != '-' && option.size() > 1 && (option[0] == 'D' || option[0] == 'I' || option[0] == 'U')) {
      out->passed_on.push_back(whole);
      continue;
    }
    const size_t equals = option.find('=');
    std::string value = equals == std::string::npos ? "" : option.substr(equals + 1);
    option = option.substr(0, equals);
    if (equals == std::string::npos && kFlags.count(option)) continue;
    if (option == "use_fast_math") {
      out->fmad = true;
      continue;
    }
    if (equals == std::string::npos) {  // the value is the next option
      if (++i >= count) return refuse();
      value = given[i];
    }
    if (option == "gpu-architecture" || option == "arch") {
      if (!parse_architecture(value, out, log)) return false;
    } else if (option == "fmad") {
      if (value != "true" && value != "false") return refuse();
      out->fmad = value == "true";
    } else if (option == "std") {
      const std::set<std::string> known = {"c++03", "c++11", "c++14", "c++17", "c++20"};
      if (!known.count(value)) return refuse();
      out->passed_on.push_back(value == "c++20" ? "-std=c++20" : "-std=c++17");  // simt.h needs 17
      has_standard = true;
    } else if (option == "define-macro" || option == "D") {
      out->passed_on.push_back("-D" + value);
    } else if (option == "undefine-macro" || option == "U") {
      out->passed_on.push_back("-U" + value);
    } else if (option == "include-path" || option == "I") {
      out->passed_on.push_back("-I" + value);
    } else if (option == "pre-include" || option == "include") {
      out->passed_on.insert(out->passed_on.end(), {"-include", value});
    } else if (!kValued.count(option)) {
      return refuse();
    }
  }
  if (!has_standard) out->passed_on.push_back("-std=c++17");
  return true;
}

}  // namespace cuda_on_cpu::nvrtc
