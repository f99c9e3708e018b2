/* loader DLL... loads them all and prints for each where it lies and its answer. */
#include <stdio.h>
#include <windows.h>

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		HMODULE dll = LoadLibraryA(argv[i]);
		if (!dll) {
			printf("error %lu\n", (unsigned long)GetLastError());
			continue;
		}
		int (*answer)(void) = (int (*)(void))(void (*)(void))GetProcAddress(dll, "answer");
		printf("%llx %d\n", (unsigned long long)(ULONG_PTR)dll, answer());
	}
	return 0;
}
