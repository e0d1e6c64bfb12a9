"""Functions of libraries that may be suspended between two of their statements, by default and without consent.

They compute for long, share nothing with other tasks, and are called where nothing of the program's stands in between:
every function from the running one to the nearest `await`, or to code that opted in, must be in the table. The library's
own tests pass while chaos suspends these functions: `make test-peers`.

A program may rely on a function that it calls directly, because such a call never gives way. So the outermost function of
a library must be an *entry*, or be awaited: its work changes no object that another task may use meanwhile. What it reads
must belong to its task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["VETTED_LIBRARIES", "VettedLibrary", "by_function"]

Functions = Mapping[str, tuple[str, ...]]
"""Qualified names of functions by module. What is defined inside such a function counts as well."""


@dataclass(frozen=True)
class VettedLibrary:
    """The vetted functions of one library.

    Attributes:
        entries: Those that make the objects that they change, or change nothing.
        inner: Those that change an object of their caller. They are vetted only where an entry or an `await` follows, with
            nothing but this library in between.
        plain: Variables by the name of an entry. It is an entry only as long as they hold text, numbers, classes, None, and
            lists, tuples and dictionaries of these: an object in them may be shared.
        owned: Variables by the name of a function that reads what the program gave it. It is suspended only while their
            values belong to its task: there is no reference to them, but from variables of the task and from such values.
    """

    entries: Functions
    inner: Functions = field(default_factory=dict)
    plain: Functions = field(default_factory=dict)
    owned: Functions = field(default_factory=dict)


FASTAPI = VettedLibrary(
    entries={
        "fastapi.encoders": ("jsonable_encoder",),
        "fastapi.routing": ("serialize_response",),
    },
    owned={"jsonable_encoder": ("obj",)},
)

# Fields of a mutation are executed one after the other, and may rely on it: `execute_fields_serially` is left out. All
# others may be executed in any order, and at the same time, by the specification of GraphQL.
# What an executor keeps for its request is filled in one step each. `CollectedErrors` is left out: it looks before it adds.
GRAPHQL = VettedLibrary(
    entries={
        "graphql.execution.execute": ("execute", "execute_sync", "experimental_execute_incrementally"),
        "graphql.graphql": ("graphql", "graphql_impl", "graphql_sync"),
    },
    inner={
        # Version 3.2.
        "graphql.execution.execute": (
            "ExecutionContext.build_resolve_info",
            "ExecutionContext.collect_subfields",
            "ExecutionContext.complete_abstract_value",
            "ExecutionContext.complete_leaf_value",
            "ExecutionContext.complete_list_value",
            "ExecutionContext.complete_object_value",
            "ExecutionContext.complete_value",
            "ExecutionContext.ensure_valid_runtime_type",
            "ExecutionContext.execute_field",
            "ExecutionContext.execute_fields",
            "ExecutionContext.execute_operation",
            "default_field_resolver",
            "default_type_resolver",
            "execute_root_selection_set",
            "execute_subscription_event",
            "get_field_def",
            "get_typename",
        ),
        # From version 3.3 on.
        "graphql.execution.executor": (
            "Executor.build_resolve_info",
            "Executor.collect_and_execute_subfields",
            "Executor.collect_subfields",
            "Executor.complete_abstract_value",
            "Executor.complete_awaitable_list_item_value",
            "Executor.complete_awaitable_value",
            "Executor.complete_iterable_value",
            "Executor.complete_leaf_value",
            "Executor.complete_list_item_value",
            "Executor.complete_list_value",
            "Executor.complete_object_value",
            "Executor.complete_value",
            "Executor.ensure_valid_runtime_type",
            "Executor.execute_collected_root_fields",
            "Executor.execute_collected_subfields",
            "Executor.execute_field",
            "Executor.execute_fields",
            "Executor.execute_operation",
            "Executor.execute_root_grouped_field_set",
            "default_field_resolver",
            "default_type_resolver",
            "get_typename",
            "to_nodes",
        ),
        "graphql.execution.incremental.incremental_executor": (
            "IncrementalExecutor.execute_collected_root_fields",
            "IncrementalExecutor.execute_collected_subfields",
        ),
        "graphql.execution.values": ("get_argument_values",),
        "graphql.pyutils.is_awaitable": ("is_async_iterable", "is_awaitable"),
        "graphql.pyutils.is_iterable": ("is_iterable",),
        "graphql.pyutils.path": ("Path.add_key",),
        "graphql.type.definition": (
            "GraphQLEnumType.coerce_output_value",
            "GraphQLEnumType.serialize",
            "GraphQLScalarType.serialize",
            "is_abstract_type",
            "is_leaf_type",
            "is_list_type",
            "is_non_null_type",
            "is_object_type",
        ),
        "graphql.type.scalars": (
            "serialize_boolean",
            "serialize_float",
            "serialize_id",
            "serialize_int",
            "serialize_string",
        ),
        "graphql.type.schema": ("GraphQLSchema.get_field",),
    },
    owned={
        "ExecutionContext.complete_list_value": ("result",),
        "Executor.complete_iterable_value": ("items",),
    },
)

# A builder that the program made may serve other documents, too.
BEAUTIFUL_SOUP = VettedLibrary(
    entries={"bs4": ("BeautifulSoup.__init__",)},
    inner={
        "_markupbase": (
            "ParserBase._parse_doctype_attlist",
            "ParserBase._parse_doctype_element",
            "ParserBase._parse_doctype_entity",
            "ParserBase._parse_doctype_notation",
            "ParserBase._parse_doctype_subset",
            "ParserBase._scan_name",
            "ParserBase.parse_comment",
            "ParserBase.parse_declaration",
            "ParserBase.parse_marked_section",
            "ParserBase.updatepos",
        ),
        "bs4": (
            "BeautifulSoup._feed",
            "BeautifulSoup._linkage_fixer",
            "BeautifulSoup._popToTag",
            "BeautifulSoup.endData",
            "BeautifulSoup.handle_data",
            "BeautifulSoup.handle_endtag",
            "BeautifulSoup.handle_starttag",
            "BeautifulSoup.object_was_parsed",
            "BeautifulSoup.popTag",
            "BeautifulSoup.pushTag",
            "BeautifulSoup.reset",
            "BeautifulSoup.string_container",
        ),
        "bs4.builder": (
            "HTMLTreeBuilder.set_up_substitutions",
            "TreeBuilder._replace_cdata_list_attribute_values",
            "TreeBuilder.can_be_empty_element",
        ),
        "bs4.builder._htmlparser": (
            "BeautifulSoupHTMLParser.__init__",
            "BeautifulSoupHTMLParser._dereference_numeric_character_reference",
            "BeautifulSoupHTMLParser.handle_charref",
            "BeautifulSoupHTMLParser.handle_comment",
            "BeautifulSoupHTMLParser.handle_data",
            "BeautifulSoupHTMLParser.handle_decl",
            "BeautifulSoupHTMLParser.handle_endtag",
            "BeautifulSoupHTMLParser.handle_entityref",
            "BeautifulSoupHTMLParser.handle_pi",
            "BeautifulSoupHTMLParser.handle_startendtag",
            "BeautifulSoupHTMLParser.handle_starttag",
            "BeautifulSoupHTMLParser.unknown_decl",
            "HTMLParserTreeBuilder.feed",
            "HTMLParserTreeBuilder.prepare_markup",
        ),
        "bs4.element": ("NavigableString.__new__", "PageElement.setup", "Tag.__init__"),
        "html.parser": (
            "HTMLParser.check_for_whole_start_tag",
            "HTMLParser.close",
            "HTMLParser.feed",
            "HTMLParser.goahead",
            "HTMLParser.parse_bogus_comment",
            "HTMLParser.parse_endtag",
            "HTMLParser.parse_html_declaration",
            "HTMLParser.parse_pi",
            "HTMLParser.parse_starttag",
        ),
    },
    plain={"BeautifulSoup.__init__": ("original_builder", "kwargs")},
)

# `markdown` makes its own converter, and extensions from their names. Others may be shared: so may converters, which are
# correct in asyncio because `convert` never waits, and extension objects, of which some keep a state.
MARKDOWN = VettedLibrary(
    entries={"markdown.core": ("markdown",)},
    inner={
        "markdown.blockparser": ("BlockParser.parseBlocks", "BlockParser.parseChunk", "BlockParser.parseDocument"),
        "markdown.blockprocessors": (
            "BlockProcessor.detab",
            "BlockProcessor.lastChild",
            "BlockProcessor.looseDetab",
            "BlockQuoteProcessor.run",
            "CodeBlockProcessor.run",
            "EmptyBlockProcessor.run",
            "HRProcessor.run",
            "HashHeaderProcessor.run",
            "ListIndentProcessor.get_level",
            "ListIndentProcessor.run",
            "OListProcessor.get_items",
            "OListProcessor.run",
            "ParagraphProcessor.run",
            "ReferenceProcessor.run",
            "SetextHeaderProcessor.run",
        ),
        "markdown.core": ("Markdown.convert", "Markdown.is_block_level"),
        "markdown.extensions.tables": (
            "TableProcessor._build_empty_row",
            "TableProcessor._build_row",
            "TableProcessor._split",
            "TableProcessor._split_row",
            "TableProcessor.run",
        ),
        "markdown.inlinepatterns": (
            "DelimiterProcessor._build_element",
            "DelimiterProcessor.add_region",
            "DelimiterProcessor.get_match",
            "DelimiterProcessor.handleMatch",
            "DelimiterProcessor.increment_next_position",
            "DelimiterProcessor.search",
            "LinkInlineProcessor.getLink",
            "LinkInlineProcessor.getText",
            "LinkInlineProcessor.handleMatch",
        ),
        "markdown.serializers": (
            "_escape_attrib",
            "_escape_attrib_html",
            "_escape_cdata",
            "_serialize_html",
            "_write_html",
            "to_html_string",
            "to_xhtml_string",
        ),
        "markdown.treeprocessors": (
            "InlineProcessor.__applyPattern",
            "InlineProcessor.__build_ancestors",
            "InlineProcessor.__handleInline",
            "InlineProcessor.__processElementText",
            "InlineProcessor.__processPlaceholders",
            "InlineProcessor.__stashNode",
            "InlineProcessor.run",
            "PrettifyTreeprocessor._prettifyETree",
            "PrettifyTreeprocessor.run",
            "UnescapeTreeprocessor.run",
        ),
    },
    plain={"markdown": ("kwargs",)},
)

VETTED_LIBRARIES = (FASTAPI, GRAPHQL, BEAUTIFUL_SOUP, MARKDOWN)


def by_function() -> dict[str, dict[str, tuple[int, int, tuple[str, ...], tuple[str, ...]]]]:
    """Return the table in the form that the core needs.

    Returns:
        By qualified name and module: a bit for each library that vets the function, those of which it is an entry, the
        variables that must hold plain data, and those that must belong to the task.
    """
    table: dict[str, dict[str, tuple[int, int, tuple[str, ...], tuple[str, ...]]]] = {}
    for number, library in enumerate(VETTED_LIBRARIES):
        for functions, is_entry in ((library.entries, True), (library.inner, False)):
            for module, names in functions.items():
                for name in names:
                    modules = table.setdefault(name, {})
                    libraries, entry_of, plain, owned = modules.get(module, (0, 0, (), ()))
                    bit = 1 << number
                    modules[module] = (
                        libraries | bit,
                        entry_of | (bit if is_entry else 0),
                        plain + library.plain.get(name, ()),
                        owned + library.owned.get(name, ()),
                    )
    return table
