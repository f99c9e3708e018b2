package sandbox

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A thread that was put under a filter does not outlive the start of the command: whoever
// answers the filter waits until nobody is under it.
func TestDoomedThread(t *testing.T) {
	for range 2000 {
		var thread int
		onDoomedThread(func() { thread = unix.Gettid() })
		if thread == os.Getpid() {
			t.Fatal("it was the main thread")
		}
		for deadline := time.Now().Add(10 * time.Second); ; {
			_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", thread))
			if os.IsNotExist(err) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("thread %d is still there: %v", thread, err)
			}
		}
	}
}
