package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/tarball"
	"github.com/sandbox-install/sandbox-install/unpack"
)

func regenCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	dir, compression := ".", tarball.Zstd
	cmd := f.register(&cobra.Command{
		Use:   "regen [flags] NAME",
		Short: "Make the tarball of an installed package again",
		Long: `Regen writes NAME-VERSION.tar.zst from the files of an installed package: byte for
byte the one that was unpacked, if that was written by this version and none of its
images were moved since. Where content was modified it is refused, but for
configuration, which is kept as it came.`,
		Args: exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return f.refusal(stdio, f.with(func(r *unpack.Root) error {
				pkg, err := r.Regen(args[0])
				if err != nil {
					return err
				}
				name := filepath.Join(dir, pkg.List.Name+"-"+pkg.List.Version+compression.Suffix())
				if err := regenerate(name, pkg, compression); err != nil {
					return err
				}
				if f.asJSON {
					return printJSON(stdio.out, map[string]string{"file": name})
				}
				printNotes(stdio, []string{"wrote " + name})
				return nil
			}))
		},
	})
	cmd.Flags().StringVarP(&dir, "output", "o", dir, "write the file into this `DIR`")
	cmd.Flags().TextVar(&compression, "compress", compression, "compression of the tarball: zstd, gzip or none")
	must(cmd.MarkFlagDirname("output"))
	return cmd
}

func regenerate(name string, pkg *unpack.Package, compression tarball.Compression) error {
	out, err := create(name, 0o644)
	if err != nil {
		return err
	}
	defer out.discard()
	if err := tarball.Write(out, pkg.List, pkg.Tree, tarball.Options{Compression: compression}); err != nil {
		return wrap(name, err)
	}
	return out.commit()
}
