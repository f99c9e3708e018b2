/* bases LIST maps all DLLs of a list, runs nothing of them, and prints where each lies. */
#include <stdio.h>
#include <wchar.h>
#include <windows.h>

int wmain(int argc, wchar_t **argv)
{
	wchar_t line[MAX_PATH];
	FILE *list = argc == 2 ? _wfopen(argv[1], L"rt") : NULL;
	if (!list)
		return 2;
	while (fgetws(line, MAX_PATH, list)) {
		line[wcscspn(line, L"\n")] = 0;
		HMODULE dll = LoadLibraryExW(line, NULL, DONT_RESOLVE_DLL_REFERENCES);
		printf("%llx\n", (unsigned long long)(ULONG_PTR)dll);
	}
	return 0;
}
