; An installer of four DLLs, two for each width, made by makensis -DDIR=... -DOUT=...
Unicode true
Name "Two"
OutFile "${OUT}"
InstallDir "C:\Program Files\Two"
RequestExecutionLevel admin
SilentInstall silent
Section
	SetOutPath "$INSTDIR"
	File "${DIR}/*.dll"
	WriteUninstaller "$INSTDIR\uninstall.exe"
	WriteRegStr HKLM "Software\Two" "Dir" "$INSTDIR"
SectionEnd
Section "Uninstall"
	RMDir /r "$INSTDIR"
SectionEnd
