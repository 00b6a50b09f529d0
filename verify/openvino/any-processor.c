/*
 * OpenVINO's provider library (onnxruntime-ep-openvino 1.8.1) offers processors only where ONNX Runtime names Intel as
 * their vendor, although OpenVINO computes on AMD's too (ONNX Runtime's pull request 31981 proposes to lift this). This
 * library passes everything on to it, and answers that one question with Intel for every processor.
 *
 *   gcc -shared -fPIC -O1 -o any-processor.so any-processor.c -ldl
 *   ROPEWALK_WRAPPED_LIBRARY=.../libonnxruntime_providers_openvino_plugin.so ropewalk generate ... --device ./any-processor.so
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Positions in the OrtApi table of onnxruntime_c_api.h; more entries than ONNX Runtime 1.30 has. */
enum { DEVICE_TYPE = 307, VENDOR_ID = 308, ENTRIES = 448 };
enum { TYPE_CPU = 0, INTEL = 0x8086 };

typedef struct {
  const void *(*get_api)(uint32_t version);
  const char *(*get_version)(void);
} ApiBase;

typedef void *(*Create)(const char *, const ApiBase *, const void *, void **, size_t, size_t *);
typedef void *(*Release)(void *);

static const ApiBase *original;
static void *table[ENTRIES];

static uint32_t vendor_id(const void *device) {
  const void *const *api = original->get_api(22);
  int type = ((int (*)(const void *))api[DEVICE_TYPE])(device);
  return type == TYPE_CPU ? INTEL : ((uint32_t (*)(const void *))api[VENDOR_ID])(device);
}

static const void *get_api(uint32_t version) {
  const void *api = original->get_api(version);
  if (!api) return NULL;
  memcpy(table, api, sizeof table);
  table[VENDOR_ID] = (void *)vendor_id;
  return table;
}

static const char *get_version(void) { return original->get_version(); }

static void *wrapped(const char *name) {
  static void *library;
  const char *path = getenv("ROPEWALK_WRAPPED_LIBRARY");
  if (!library && path) library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) fprintf(stderr, "ROPEWALK_WRAPPED_LIBRARY: %s\n", path ? dlerror() : "not set");
  return library ? dlsym(library, name) : NULL;
}

void *CreateEpFactories(const char *name, const ApiBase *base, const void *logger, void **factories, size_t max,
                        size_t *count) {
  static const ApiBase replaced = {get_api, get_version};
  Create create = (Create)wrapped("CreateEpFactories");
  *count = 0;
  original = base;
  return create ? create(name, &replaced, logger, factories, max, count) : NULL;
}

void *ReleaseEpFactory(void *factory) {
  Release release = (Release)wrapped("ReleaseEpFactory");
  return release ? release(factory) : NULL;
}
