// The exported functions of libnvrtc.so. The compiled image (image.h) is handed out as PTX and, for a real
// architecture, as CUBIN too.
#include "nvrtc.h"

#include <cstring>
#include <iterator>

namespace cuda_on_cpu::nvrtc {
namespace {

Result give(const std::string& bytes, char* out) {
  if (!out) return kInvalidInput;
  std::memcpy(out, bytes.data(), bytes.size());
  return kSuccess;
}

// The program of a getter; null where the real library refuses.
Program* compiled(Program* program) { return program && program->compiled ? program : nullptr; }

std::string strip(const std::string& expression) {
  const size_t begin = expression.find_first_not_of(" \t&"), end = expression.find_last_not_of(" \t");
  return begin == std::string::npos ? "" : expression.substr(begin, end - begin + 1);
}

}  // namespace

EXPORT int nvrtcVersion(int* major, int* minor) {
  if (!major || !minor) return kInvalidInput;
  *major = 13;
  *minor = 0;
  return kSuccess;
}

EXPORT int nvrtcGetNumSupportedArchs(int* count) {
  if (!count) return kInvalidInput;
  *count = std::size(kArchitectures);
  return kSuccess;
}

EXPORT int nvrtcGetSupportedArchs(int* out) {
  if (!out) return kInvalidInput;
  std::memcpy(out, kArchitectures, sizeof kArchitectures);
  return kSuccess;
}

EXPORT int nvrtcCreateProgram(Program** out, const char* source, const char* name, int header_count,
                              const char* const* headers, const char* const* include_names) {
  if (!out || !source || header_count < 0 || (header_count > 0 && (!headers || !include_names))) return kInvalidInput;
  *out = new Program;
  (*out)->name = name && *name ? name : "default_program";
  (*out)->source = source;
  for (int i = 0; i < header_count; i++) (*out)->headers[include_names[i]] = headers[i];
  return kSuccess;
}

EXPORT int nvrtcDestroyProgram(Program** program) {
  if (!program || !*program) return kInvalidProgram;
  delete *program;
  *program = nullptr;
  return kSuccess;
}

EXPORT int nvrtcCompileProgram(Program* program, int option_count, const char* const* given) {
  if (!program) return kInvalidProgram;
  if (option_count < 0 || (option_count > 0 && !given)) return kInvalidInput;
  program->compiled = false;
  program->log.clear();
  Options options;
  if (!parse_options(option_count, given, &options, &program->log)) return kInvalidOption;
  return compile(*program, options);
}

EXPORT int nvrtcGetPTXSize(Program* program, size_t* size) {
  if (!compiled(program) || !size) return kInvalidProgram;
  *size = program->image.size();
  return kSuccess;
}

EXPORT int nvrtcGetPTX(Program* program, char* out) {
  return compiled(program) ? give(program->image, out) : kInvalidProgram;
}

EXPORT int nvrtcGetCUBINSize(Program* program, size_t* size) {
  if (!compiled(program) || !size) return kInvalidProgram;
  *size = program->is_cubin ? program->image.size() : 0;  // none for a virtual architecture
  return kSuccess;
}

EXPORT int nvrtcGetCUBIN(Program* program, char* out) {
  return compiled(program) && program->is_cubin ? give(program->image, out) : kInvalidProgram;
}

EXPORT int nvrtcGetProgramLogSize(Program* program, size_t* size) {
  if (!program || !size) return kInvalidProgram;
  *size = program->log.size() + 1;
  return kSuccess;
}

EXPORT int nvrtcGetProgramLog(Program* program, char* out) {
  if (!program || !out) return kInvalidProgram;
  std::memcpy(out, program->log.c_str(), program->log.size() + 1);
  return kSuccess;
}

EXPORT int nvrtcAddNameExpression(Program* program, const char* expression) {
  if (!program || !expression) return kInvalidProgram;
  if (program->compiled) return kNoNameExpressionsAfterCompilation;
  program->name_expressions.push_back(expression);
  return kSuccess;
}

// Kernels are extern "C", so a lowered name is the name itself.
EXPORT int nvrtcGetLoweredName(Program* program, const char* expression, const char** lowered) {
  if (!program || !expression || !lowered) return kInvalidProgram;
  if (!program->compiled) return kNoLoweredNamesBeforeCompilation;
  for (const auto& added : program->name_expressions)
    for (const auto& kernel : program->kernels)
      if (added == expression && strip(added) == kernel) {
        *lowered = kernel.c_str();
        return kSuccess;
      }
  return kNameExpressionNotValid;
}

EXPORT const char* nvrtcGetErrorString(int result) {
  switch (result) {
    case kSuccess: return "NVRTC_SUCCESS";
    case 1: return "NVRTC_ERROR_OUT_OF_MEMORY";
    case 2: return "NVRTC_ERROR_PROGRAM_CREATION_FAILURE";
    case kInvalidInput: return "NVRTC_ERROR_INVALID_INPUT";
    case kInvalidProgram: return "NVRTC_ERROR_INVALID_PROGRAM";
    case kInvalidOption: return "NVRTC_ERROR_INVALID_OPTION";
    case kCompilation: return "NVRTC_ERROR_COMPILATION";
    case 7: return "NVRTC_ERROR_BUILTIN_OPERATION_FAILURE";
    case kNoNameExpressionsAfterCompilation: return "NVRTC_ERROR_NO_NAME_EXPRESSIONS_AFTER_COMPILATION";
    case kNoLoweredNamesBeforeCompilation: return "NVRTC_ERROR_NO_LOWERED_NAMES_BEFORE_COMPILATION";
    case kNameExpressionNotValid: return "NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID";
    case kInternalError: return "NVRTC_ERROR_INTERNAL_ERROR";
    default: return "NVRTC_ERROR unknown";
  }
}

}  // namespace cuda_on_cpu::nvrtc
