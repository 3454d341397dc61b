//go:build !unix

package transport

const triable = false

func (s *socket) read() (buffer, error) { return s.readWaiting() }

func (s *socket) try([][]byte) (int, error) { return 0, errFull }
