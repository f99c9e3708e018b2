/*
 * A DLL that answers only if its pointers are right. It has no C library, so
 * that nothing but these pointers needs base relocations. NUMBER is given by
 * the compiler.
 */
#include <windows.h>

static int one(void) { return NUMBER; }
static int two(void) { return 2 * NUMBER; }
static int (*volatile table[])(void) = {one, two};
static int value = 100 * NUMBER;
static int *volatile pointer = &value;

__declspec(dllexport) int answer(void) { return table[0]() + table[1]() + *pointer; }

BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, LPVOID reserved)
{
	(void)instance, (void)reason, (void)reserved;
	return TRUE;
}
