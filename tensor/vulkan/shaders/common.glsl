// Shared by all kernels. Sizes and places are counted in elements, in 32 bits. A kernel over elements has work groups
// of 256 in two dimensions, since one takes 65535 at most.

uint place() { return (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 256 + gl_LocalInvocationID.x; }

#define BUFFER(n, access, name) layout(set = 0, binding = n) access buffer Buffer##n { float name[]; }
#define INDEX_BUFFER(n, name) layout(set = 0, binding = n) readonly buffer Buffer##n { uint name[]; }
