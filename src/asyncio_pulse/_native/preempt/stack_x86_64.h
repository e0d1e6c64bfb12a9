// System V, x86-64: rbx, rbp and r12 to r15 belong to the caller. So do the control words of the floating point units, which
// no code between two bytecodes changes.
#ifndef PULSE_STACK_X86_64_H
#define PULSE_STACK_X86_64_H

#define BEGIN(name)                                                                                                    \
    ".hidden " name "\n.globl " name "\n.type " name ",@function\n.p2align 4\n" name ":\n.cfi_startproc\nendbr64\n"
#define END(name) ".cfi_endproc\n.size " name ",.-" name "\n"
#define PUSH(register) "pushq %" register "\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset " register ",0\n"
// The last subtraction keeps the stack aligned to 16 bytes.
#define PUSH_ALL                                                                                                       \
    PUSH("rbp") PUSH("rbx") PUSH("r12") PUSH("r13") PUSH("r14") PUSH("r15") "subq $8,%rsp\n.cfi_adjust_cfa_offset 8\n"
#define POP_ALL "addq $8,%rsp\npopq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
// The caller's frame is found at stack->base + 64, with `stack` in rbx: DW_CFA_def_cfa_expression, DW_OP_breg3 0,
// DW_OP_deref, DW_OP_plus_uconst 64. Unwinders thus find the present caller, also after the slice was continued.
#define CALLER_IS_IN_RECORD ".cfi_escape 0x0f,0x05,0x73,0x00,0x06,0x23,0x40\n"

// clang-format off
__asm__(
    ".text\n"
    BEGIN("pulse_stack_enter")
    PUSH_ALL
    "movq %rdi,%rbx\n"
    "movq %rsp,(%rdi)\n"
    CALLER_IS_IN_RECORD
    "movq %rsi,%rsp\n"
    "call *%rdx\n"
    "pulse_stack_leave:\n"
    "movq (%rbx),%rsp\n"
    "cmpq $0,8(%rbx)\n"
    "jne 2f\n"
    "1:\n"
    POP_ALL
    "2:\n"
    "movq %rbx,%rdi\n"
    "call pulse_stack_put_back\n"
    "jmp 1b\n"
    END("pulse_stack_enter")

    BEGIN("pulse_stack_capture")
    PUSH_ALL
    "movq %rsp,16(%rdi)\n"
    "movq %rdi,%rbx\n"
    "call *%rsi\n"
    "testl %eax,%eax\n"
    "je pulse_stack_leave\n"
    "3:\n"
    POP_ALL
    END("pulse_stack_capture")

    BEGIN("pulse_stack_continue")
    "movq 16(%rdi),%rsp\n"
    "xorl %eax,%eax\n"
    "jmp 3b\n"
    END("pulse_stack_continue")
);
// clang-format on

#endif
