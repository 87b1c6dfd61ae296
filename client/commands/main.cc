#include "client/commands/client.h"

int main(int argc, char** argv) { return quantized::RunClient(argc, argv); }
