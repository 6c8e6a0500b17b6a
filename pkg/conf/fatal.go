package conf

import "fmt"

// The exit statuses of libvirtd and virtproxyd (virdaemon.h), and of what a bad value of another file comes to.
const (
	ExitConfig  = 1 // configuration, logging, host UUID, access drivers
	ExitLimits  = 3 // client limits (VIR_DAEMON_ERR_INIT)
	ExitNetwork = 6 // sockets and TLS (VIR_DAEMON_ERR_NETWORK)
)

// A FatalError is a value that libvirt refuses.
type FatalError struct {
	File string
	// Key is the setting at fault and Line where it stands; 0 where the fault is that nothing stands there.
	Key  string
	Line int
	// Message is libvirt's text with its class in front, as in "internal error: FILE: expected a bool for 'listen_tls'
	// parameter".
	Message string
	// Exit is the status with which the daemon ends.
	Exit int

	log []string
}

// Error gives libvirt's text.
func (e *FatalError) Error() string { return e.Message }

// ExitStatus is the status with which libvirtd and virtproxyd end.
func (e *FatalError) ExitStatus() int { return e.Exit }

// LogLines gives the lines that the daemon prints, without time stamp, priority and function.
func (e *FatalError) LogLines() []string {
	if e.log != nil {
		return append([]string(nil), e.log...)
	}
	return []string{e.Message}
}

// Hints says where the value stands.
func (e *FatalError) Hints() []string {
	if e.Line == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s:%d: see %s there", e.File, e.Line, e.Key)}
}

// bad is a value that the program refuses while it loads the file.
func (f *File) bad(key, message string) *FatalError {
	e := &FatalError{File: f.name, Key: key, Message: message, Exit: ExitConfig, log: []string{loadFailed(message, f.name)}}
	if at, ok := f.Lookup(key); ok {
		e.Line = at.Line
	}
	return e
}

// refused is a value that the daemon refuses later on, without the wrapping of the loader.
func (f *File) refused(key string, exit int, message string, more ...string) *FatalError {
	e := f.bad(key, message)
	e.Exit, e.log = exit, append([]string{message}, more...)
	return e
}

func (f *File) wrongType(key, want string) *FatalError {
	return f.bad(key, fmt.Sprintf("internal error: %s: expected %s for '%s' parameter", f.name, want, key))
}

func (f *File) outOfRange(key, want string) *FatalError {
	return f.bad(key, fmt.Sprintf("internal error: %s: value for '%s' parameter must be %s", f.name, key, want))
}
