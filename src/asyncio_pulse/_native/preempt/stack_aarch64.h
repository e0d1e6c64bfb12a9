// AAPCS64: x19 to x30 and the lower halves of v8 to v15 belong to the caller. Not run on the real platform.
#ifndef PULSE_STACK_AARCH64_H
#define PULSE_STACK_AARCH64_H

// `hint #34` is `bti c`: the target of an indirect call, where branches are checked.
#define BEGIN(name)                                                                                                    \
    ".hidden " name "\n.globl " name "\n.type " name ",%function\n.p2align 4\n" name ":\n.cfi_startproc\nhint #34\n"
#define END(name) ".cfi_endproc\n.size " name ",.-" name "\n"
#define ALL(operation)                                                                                                 \
    operation " x19,x20,[sp]\n" operation " x21,x22,[sp,#16]\n" operation " x23,x24,[sp,#32]\n" operation              \
              " x25,x26,[sp,#48]\n" operation " x27,x28,[sp,#64]\n" operation " x29,x30,[sp,#80]\n" operation          \
              " d8,d9,[sp,#96]\n" operation " d10,d11,[sp,#112]\n" operation " d12,d13,[sp,#128]\n" operation          \
              " d14,d15,[sp,#144]\n"
#define PUSH_ALL                                                                                                       \
    "sub sp,sp,#160\n.cfi_adjust_cfa_offset 160\n.cfi_rel_offset x29,80\n.cfi_rel_offset x30,88\n" ALL("stp")
#define POP_ALL ALL("ldp") "add sp,sp,#160\nret\n"
// As on x86-64, with `stack` in x19: DW_OP_breg19 0, DW_OP_deref, DW_OP_plus_uconst 160.
#define CALLER_IS_IN_RECORD ".cfi_escape 0x0f,0x06,0x83,0x00,0x06,0x23,0xa0,0x01\n"

// clang-format off
__asm__(
    ".text\n"
    BEGIN("pulse_stack_enter")
    PUSH_ALL
    "mov x19,x0\n"
    "mov x9,sp\n"
    "str x9,[x0]\n"
    CALLER_IS_IN_RECORD
    "mov sp,x1\n"
    "blr x2\n"
    "pulse_stack_leave:\n"
    "ldp x9,x10,[x19]\n"
    "mov sp,x9\n"
    "cbnz x10,2f\n"
    "1:\n"
    POP_ALL
    "2:\n"
    "mov x0,x19\n"
    "bl pulse_stack_put_back\n"
    "b 1b\n"
    END("pulse_stack_enter")

    BEGIN("pulse_stack_capture")
    PUSH_ALL
    "mov x9,sp\n"
    "str x9,[x0,#16]\n"
    "mov x19,x0\n"
    "blr x1\n"
    "cbz w0,pulse_stack_leave\n"
    "3:\n"
    POP_ALL
    END("pulse_stack_capture")

    BEGIN("pulse_stack_continue")
    "ldr x9,[x0,#16]\n"
    "mov sp,x9\n"
    "mov w0,#0\n"
    "b 3b\n"
    END("pulse_stack_continue")
);
// clang-format on

#endif
