//go:build linux && cgo

package sandbox

import (
	"crypto/rand"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/cgroups"
	_ "github.com/opencontainers/cgroups/devices" // or device rules are refused
	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	_ "github.com/opencontainers/runc/libcontainer/nsenter" // enters namespaces before Go starts
	"golang.org/x/sys/unix"
)

// In a container one more process stands between: the copy, in a mount namespace
// of its own, puts the mounts in place and hands the root to libcontainer, which
// makes the other namespaces, a cgroup and fewer capabilities, and starts this
// program once more as pid 1, where it goes on as it would without a container.
//
// What libcontainer does not give: descriptors of the caller's beyond the standard
// three, and job control, since it begins a new session.

const (
	containerDir  = "/tmp" // gets a tmpfs, in the copy's own mount namespace
	containerRoot = containerDir + "/root"
)

// maxProcesses is far above what an installation needs, and below what brings a
// machine down.
const maxProcesses = 16384

// CheckContainer says why Plan.Container can not be carried out.
func CheckContainer() error { return nil }

// initContainer goes on in libcontainer, if that is who started this program.
func initContainer() {
	if len(os.Args) == 2 && os.Args[1] == "init" && os.Getenv("_LIBCONTAINER_INITPIPE") != "" {
		libcontainer.Init()
	}
}

// runContainer does what enter does, by way of libcontainer.
func (o *order) runContainer() error {
	if err := unix.Mount("tmpfs", containerDir, "tmpfs", 0, "mode=0700"); err != nil {
		return &StepError{"mount a tmpfs on " + containerDir, err}
	}
	if err := os.Mkdir(containerRoot, 0o700); err != nil {
		return &StepError{"make the container's root", err}
	}
	// Before the root, with its read-only /sys/fs/cgroup, is in place: libcontainer
	// would take that for the host's.
	c, err := libcontainer.Create(containerDir+"/state", "sandbox", o.containerConfig())
	if err != nil {
		return &StepError{"create the container", err}
	}
	root, err := o.buildRoot(containerRoot, o.Plan.Mounts, o.mountFDs())
	if err != nil {
		return err
	}
	unix.Close(root)
	err = o.startContainer(c)
	if destroyErr := c.Destroy(); err == nil && destroyErr != nil {
		err = &StepError{"remove the container", destroyErr}
	}
	return err
}

// startContainer starts pid 1 and waits for it, passing signals on. What pid 1
// has to tell, it tells the supervisor itself.
func (o *order) startContainer(c *libcontainer.Container) error {
	if _, err := o.file.Seek(0, io.SeekStart); err != nil {
		return &StepError{"rewind the plan", err}
	}
	p := &libcontainer.Process{
		Args:   []string{"/proc/self/fd/" + strconv.Itoa(3+fdExe), initName, "3"},
		Cwd:    "/",
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		ExtraFiles: []*os.File{
			fdOrder:  o.file,
			fdSocket: os.NewFile(uintptr(o.first+fdSocket), "socket"),
			fdExe:    os.NewFile(uintptr(o.first+fdExe), "exe"),
		},
		Init: true,
	}
	if err := c.Run(p); err != nil {
		return &StepError{"start the container", err}
	}
	go func() {
		for sig := range o.signals {
			_ = p.Signal(sig) // it may just have ended
		}
	}()
	// That pid 1 failed, it has told.
	_, _ = p.Wait()
	return nil
}

// containerConfig says what is the container's of the plan.
func (o *order) containerConfig() *configs.Config {
	// What pid 1 gives up again before the command, but for its messages to carry
	// the command's number (unix(7), SCM_CREDENTIALS).
	var have []string
	for _, c := range append([]uintptr{unix.CAP_SYS_ADMIN}, containerCapabilities...) {
		have = append(have, "CAP_"+strings.ToUpper(capability.Cap(c).String()))
	}
	config := &configs.Config{
		Rootfs:          containerRoot,
		RootPropagation: unix.MS_PRIVATE | unix.MS_REC,
		Namespaces:      configs.Namespaces{{Type: configs.NEWNS}, {Type: configs.NEWPID}, {Type: configs.NEWIPC}, {Type: configs.NEWUTS}},
		Capabilities:    &configs.Capabilities{Bounding: have, Effective: have, Permitted: have},
		Cgroups:         newCgroup(),
		MaskPaths:       maskedPaths,
		// Libcontainer would fill a /dev that is not bound.
		Mounts: []*configs.Mount{{Device: "bind", Source: containerRoot + "/dev", Destination: "/dev", Flags: unix.MS_BIND | unix.MS_REC}},
	}
	if o.Plan.NoNetwork {
		config.Namespaces.Add(configs.NEWNET, "")
		config.Networks = []*configs.Network{{Type: "loopback"}}
	}
	for _, m := range o.Plan.Mounts {
		switch {
		case m.File >= 0: // is in place
		case m.Type != "":
			config.Mounts = append(config.Mounts, &configs.Mount{
				Device: m.Type, Source: m.Type, Destination: "/" + m.Target,
				Flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC,
			})
		default:
			config.ReadonlyPaths = append(config.ReadonlyPaths, "/"+m.Target)
		}
	}
	return config
}

// maskedPaths tell of the machine what no installation asks.
var maskedPaths = []string{
	"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
	"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
	"/sys/devices/virtual/powercap", "/sys/firmware",
}

// newCgroup describes the cgroup of a container. Its device rules hold for nodes
// that the command makes itself too, which no mount can see to.
func newCgroup() *cgroups.Cgroup {
	processes := int64(maxProcesses)
	return &cgroups.Cgroup{
		Path: "/sandbox-install-" + rand.Text(),
		Resources: &cgroups.Resources{
			PidsLimit: &processes,
			Devices: []*devices.Rule{
				{Type: devices.CharDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "rwm", Allow: true},
				{Type: devices.BlockDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "m", Allow: true},
				{Type: devices.BlockDevice, Major: 7, Minor: devices.Wildcard, Permissions: "rwm", Allow: true}, // loop
			},
		},
	}
}
