// What the files of libnvrtc.so share: nvrtc.cpp (the exported functions), nvrtc_options.cpp (the command line),
// nvrtc_compile.cpp (the host compiler), nvrtc_kernels.cpp (CUDA's own words in preprocessed text), nvrtc_patch.cpp
// (planted faults).
#pragma once
#include <map>
#include <string>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace cuda_on_cpu::nvrtc {

enum Result : int {
  kSuccess = 0,
  kInvalidInput = 3,
  kInvalidProgram = 4,
  kInvalidOption = 5,
  kCompilation = 6,
  kNoNameExpressionsAfterCompilation = 8,
  kNoLoweredNamesBeforeCompilation = 9,
  kNameExpressionNotValid = 10,
  kInternalError = 11,
};

// The architectures of CUDA 13.0.
constexpr int kArchitectures[] = {75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121};

struct Options {
  int architecture = 75;
  bool is_cubin = false;
  bool fmad = true;
  std::vector<std::string> passed_on;  // to the host compiler
};
// False for an option that NVRTC does not know, with a log.
bool parse_options(int count, const char* const* given, Options* out, std::string* log);

struct Program {
  std::string name, source;
  std::map<std::string, std::string> headers;  // by the name that `#include` uses
  std::vector<std::string> name_expressions;
  bool compiled = false, is_cubin = false;
  std::string log, image;
  std::vector<std::string> kernels;
};
Result compile(Program& program, const Options& options);

// Rewrites __global__, __launch_bounds__ and __shared__ for the host compiler and appends a record for each kernel.
std::string rewrite_kernels(const std::string& preprocessed, std::vector<std::string>* kernels);

// Takes the texts of the source and the headers from the folder that the environment names, where it has them.
void replace_texts(const std::string& name, std::string* source, std::map<std::string, std::string>* headers);

// Applies the planted faults to the source and headers; false with a log if one does not fit exactly once.
bool apply_patches(std::string* source, std::map<std::string, std::string>* headers, std::string* log);

}  // namespace cuda_on_cpu::nvrtc
