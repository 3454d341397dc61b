package lambda

import (
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A process is a handler's process and all its children.
type process struct {
	cmd    *exec.Cmd
	output *output
	exited chan struct{} // closed when it has ended, and err is why
	err    error
}

// grace is how much time a process has to end when it is asked to.
const grace = 500 * time.Millisecond

func (f *Function) startProcess(api string) (*process, error) {
	out, err := openOutput(f.config)
	if err != nil {
		return nil, err
	}
	p := &process{output: out, exited: make(chan struct{})}
	p.cmd = exec.Command(f.code.program, f.code.arguments...)
	p.cmd.Dir = f.code.root
	p.cmd.Env = append(f.environment(), "AWS_LAMBDA_RUNTIME_API="+api)
	if f.code.client != "" {
		p.cmd.Stdin = strings.NewReader(f.code.client)
	}
	p.cmd.Stdout, p.cmd.Stderr = out.writer, out.writer
	p.cmd.WaitDelay = grace // for its standard input
	p.cmd.SysProcAttr = ownGroup()
	out.hold()
	if err := f.launcher.start(p.cmd); err != nil {
		out.abandon()
		return nil, err
	}
	out.started()
	go func() { // end waits for it
		p.err = p.cmd.Wait()
		out.end(grace)
		close(p.exited)
	}()
	return p, nil
}

// environment returns the variables of a function's processes.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
func (f *Function) environment() []string {
	memory := strconv.Itoa(f.config.Memory)
	env := slices.Clone(f.config.Environment)
	if f.config.Alias.Name != "" {
		env = f.config.Alias.environment(env, f.aliasFiles, f.code.client == "")
	}
	return append(env,
		"_HANDLER="+f.config.Handler,
		"AWS_EXECUTION_ENV=AWS_Lambda_"+f.code.name,
		"AWS_LAMBDA_FUNCTION_NAME="+f.config.Name,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE="+memory,
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/"+f.config.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME=local",
		"LAMBDA_RUNTIME_DIR=/var/runtime",
		"LAMBDA_TASK_ROOT="+f.code.root,
	)
}

// end ends the process and its children. It asks them first, and kills them
// after grace. It returns when they are gone.
func (p *process) end() {
	terminate(p.cmd.Process)
	select {
	case <-p.exited:
	case <-time.After(grace):
	}
	kill(p.cmd.Process) // children that are left
	<-p.exited
}

// crash describes how a process ended that should not have ended.
func (p *process) crash() *Error {
	<-p.exited
	how := "without saying why"
	if p.err != nil {
		how = "with " + p.err.Error()
	}
	if last := p.output.last(); last != "" {
		how += `; it last said "` + last + `"`
	}
	return &Error{Type: "Runtime.ExitError", Message: fmt.Sprintf("the process ended %s", how)}
}
