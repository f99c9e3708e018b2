package sandbox

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// An Agent does in init, inside of a user namespace, what a caller without
// privilege can not do outside: it makes the mounts, and reads afterwards what
// became of them.
type Agent interface {
	// Prepare makes the mounts of the plan, while the host's are still in sight.
	Prepare() ([]Mount, []*os.File, error)

	// Confine is called in the thread that is to start the command.
	Confine() error

	// Serve is called when nothing else runs any more, or nothing was to be run. It
	// does what the caller asks for until the caller hangs up.
	Serve() error

	// Close is called at the end, whatever happened.
	Close() error
}

// agents are made by name, from the plan's order and a socket to the caller.
var agents = make(map[string]func(order []byte, socket *os.File) Agent)

// Register makes an agent known. It is called before [Init], by every copy of the
// program.
func Register(name string, make func(order []byte, socket *os.File) Agent) { agents[name] = make }

// enterWithAgent is enter, with mounts that an agent makes.
func (o *order) enterWithAgent() (err error) {
	fd := o.first + fdAgent
	socket := os.NewFile(uintptr(fd), "agent's socket")
	o.agent = agents[o.Plan.Agent](o.Plan.AgentOrder, socket)
	defer func() {
		if closeErr := o.agent.Close(); err == nil && closeErr != nil {
			err = &StepError{"clean up", closeErr}
		}
	}()
	mounts, files, err := o.agent.Prepare()
	if err != nil {
		return &StepError{"prepare the sandbox", err}
	}
	fds := make([]int, len(files))
	for i, f := range files {
		if fds[i], err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0); err != nil {
			return &StepError{"prepare the mounts", err}
		}
	}
	if err := o.live(mounts, fds); err != nil {
		return err
	}
	if err := o.agent.Serve(); err != nil {
		return fmt.Errorf("serve the caller: %w", err)
	}
	return nil
}
