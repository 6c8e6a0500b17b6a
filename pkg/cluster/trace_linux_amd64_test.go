package cluster

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// traced runs a program and kills it with SIGKILL before the system call number n of those that change files: writing, renaming,
// removing, synchronising. So also the steps are reached that are taken in SQLite. It reports whether it got so far, and which
// call that was.
func traced(t *testing.T, n int, cmd *exec.Cmd) (reached bool, call string) {
	t.Helper()
	runtime.LockOSThread() // a tracer is a thread
	defer runtime.UnlockOSThread()
	var out bytes.Buffer
	file, err := os.CreateTemp(t.TempDir(), "out") // a pipe's reader would be a goroutine, whose end cmd.Wait waits for
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		t.Skipf("programs cannot be traced here: %v", err)
	}
	pid := cmd.Process.Pid
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || !status.Stopped() {
		t.Fatalf("%v, %v", status, err)
	}
	const exitKill, sysGood, clone, fork, vfork = 0x100000, 1, 8, 2, 4
	if err := syscall.PtraceSetOptions(pid, exitKill|sysGood|clone|fork|vfork); err != nil {
		t.Fatal(err)
	}
	if err := syscall.PtraceSyscall(pid, 0); err != nil {
		t.Fatal(err)
	}
	entering, count := map[int]bool{}, 0
	for {
		const all = 0x40000000 | 0x20000000 // __WALL: threads, too; __WNOTHREAD: no other goroutine's programs
		thread, err := syscall.Wait4(-1, &status, all, nil)
		if err != nil {
			t.Fatal(err)
		}
		signal := 0
		switch {
		case status.Exited() || status.Signaled():
			if thread != pid {
				continue
			}
			if text, err := os.ReadFile(file.Name()); err == nil {
				out.Write(text)
			}
			if status.Signaled() && status.Signal() == syscall.SIGKILL && reached {
				return true, call
			}
			if status.Signaled() || status.ExitStatus() != 0 {
				t.Fatalf("%v: %s", status, out.String())
			}
			return false, ""
		case status.Stopped() && status.StopSignal() == syscall.SIGTRAP|0x80:
			if entering[thread] = !entering[thread]; entering[thread] && !reached {
				var regs syscall.PtraceRegs
				if err := syscall.PtraceGetRegs(thread, &regs); err != nil {
					break // it was killed meanwhile
				}
				if name := changing(thread, &regs); name != "" {
					if count++; count == n {
						reached, call = true, name
						if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
							t.Fatal(err)
						}
						continue
					}
				}
			}
		case status.Stopped() && status.StopSignal() != syscall.SIGTRAP && status.StopSignal() != syscall.SIGSTOP:
			signal = int(status.StopSignal()) // Go's own, to preempt goroutines
		}
		if err := syscall.PtraceSyscall(thread, signal); err != nil && err != syscall.ESRCH {
			t.Fatal(err)
		}
	}
}

// changing names a system call that changes files, or their names, and "" for any other.
func changing(pid int, regs *syscall.PtraceRegs) string {
	onFile := func(name string) string {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, regs.Rdi))
		if err != nil || !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "/dev/null") || strings.HasPrefix(target, "/proc") {
			return ""
		}
		return name + " " + target
	}
	switch regs.Orig_rax {
	case syscall.SYS_WRITE:
		return onFile("write")
	case syscall.SYS_PWRITE64:
		return onFile("pwrite")
	case syscall.SYS_FSYNC, syscall.SYS_FDATASYNC:
		return onFile("fsync")
	case syscall.SYS_FTRUNCATE:
		return onFile("ftruncate")
	case syscall.SYS_FCHMOD, syscall.SYS_FCHOWN:
		return onFile("fchmod")
	case syscall.SYS_RENAME, syscall.SYS_RENAMEAT, 316: // renameat2
		return "rename"
	case syscall.SYS_UNLINK, syscall.SYS_UNLINKAT:
		return "unlink"
	case syscall.SYS_LINK, syscall.SYS_LINKAT:
		return "link"
	case syscall.SYS_MKDIR, syscall.SYS_MKDIRAT:
		return "mkdir"
	case syscall.SYS_OPENAT:
		if regs.Rdx&syscall.O_CREAT != 0 {
			return "create"
		}
	}
	return ""
}
